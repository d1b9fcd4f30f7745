"""Classified documents as a worker sends them to Postgres, made of dictionaries."""

import math
from collections.abc import Iterable, Mapping
from random import random
from typing import Any

from db.incoming_documents import IncomingDocuments, pack

_USUAL = {
    "version": 1, "revision": 0, "confidence": 0.9, "fit": math.nan, "margin": 0.8, "first": 0, "labels": 1,
    "repaired": False, "truncated": False, "windows": 1, "unknown_share": math.nan, "encoder": 0, "vector": 0,
}  # fmt: skip


def incoming(rows: Iterable[Mapping[str, Any]]) -> IncomingDocuments:
    """The parameter with these rows, each with a ``decision`` and what is not usual."""
    return IncomingDocuments([_packed(row) for row in rows])


def _packed(row: Mapping[str, Any]) -> bytes:
    texts = (row["source"], row["id"], row["hash"], row["text"], row["entry_id"], row.get("meta"))
    numbers = _USUAL | {"accepted": row["decision"] == "accept", "chance": random()} | row
    return pack(row["lane"], row.get("form", "whole"), [texts], 1, numbers)[0]
