"""Ids that come in, within the bounds of Postgres' integer and bigint: beyond them there is nothing to find."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field

_INTEGER, _BIGINT = 2**31 - 1, 2**63 - 1

Id = Annotated[int, Path(ge=1, le=_INTEGER)]
BigId = Annotated[int, Path(ge=1, le=_BIGINT)]
AskedId = Annotated[int, Query(ge=1, le=_INTEGER)]
AskedBigId = Annotated[int, Query(ge=1, le=_BIGINT)]
SentBigId = Annotated[int, Field(ge=0, le=_BIGINT)]
