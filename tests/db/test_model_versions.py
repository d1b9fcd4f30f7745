"""One active version always; going back goes back."""

import pytest
from sqlalchemy.orm import Session

from db.queries import model_versions
from sortline.errors import ConflictError


def add(session: Session) -> int:
    return model_versions.create(session, checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=[1]).id


def test_each_rollback_goes_one_further_back(session: Session) -> None:
    first, second, third = (add(session) for _ in range(3))
    for version in (first, second, third):
        model_versions.activate(session, version, "me")

    assert model_versions.rollback(session, "me").id == second
    assert model_versions.rollback(session, "me").id == first
    with pytest.raises(ConflictError, match="no earlier model version"):
        model_versions.rollback(session, "me")


def test_what_was_rolled_back_from_counts_again_when_it_is_promoted_again(session: Session) -> None:
    first, second, third = (add(session) for _ in range(3))
    for version in (first, second):
        model_versions.activate(session, version, "me")
    model_versions.rollback(session, "me")
    for version in (second, third):
        model_versions.activate(session, version, "me")

    assert model_versions.rollback(session, "me").id == second
    assert model_versions.rollback(session, "me").id == first
