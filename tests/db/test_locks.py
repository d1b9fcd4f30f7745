"""Advisory locks: each has a name and a number of its own, and holds up those whom it should, and nobody else."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.locks import Lock
from db.queries import labels, model_versions, shadows
from db.session import session as open_session
from sortline.errors import ConflictError
from sortline.settings import Settings
from tests.conftest import ROOT, until


def version(session: Session) -> int:
    return model_versions.create(session, checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=[1]).id


@pytest.fixture
def two_versions(session: Session) -> tuple[int, int]:
    """An active version, and one that is not."""
    first, second = version(session), version(session)
    model_versions.activate(session, first, "me")
    session.commit()
    return first, second


def waits(session: Session) -> bool:
    """Whether a transaction of this database waits for a lock."""
    return bool(
        session.scalar(
            text(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
            )
        )
    )


def test_each_lock_has_a_number_of_its_own_and_nobody_else_names_one() -> None:
    assert len({lock.value for lock in Lock}) == len(Lock.__members__)
    packages = [each.parent for each in ROOT.glob("*/__init__.py")]
    files = [each for package in packages for each in package.rglob("*.py")]
    named = [str(each.relative_to(ROOT)) for each in files if re.search("pg_(try_)?advisory", each.read_text())]
    assert named == ["db/locks.py"]


def test_who_changes_labels_does_not_wait_for_who_starts_a_shadow(
    settings: Settings, session: Session, two_versions: tuple[int, int]
) -> None:
    shadows.start(session, two_versions[1], 0.5, "me")

    with open_session(settings.postgres_url) as other:
        other.execute(text("SET LOCAL lock_timeout = '2s'"))
        labels.add(other, "refund", "me")
        other.commit()


def test_a_version_that_is_promoted_meanwhile_is_no_shadow(
    settings: Settings, session: Session, two_versions: tuple[int, int]
) -> None:
    def start() -> None:
        with open_session(settings.postgres_url) as other:
            model_versions.get(other, two_versions[1])  # as it was
            shadows.start(other, two_versions[1], 0.5, "me")
            other.commit()

    model_versions.activate(session, two_versions[1], "me")
    with ThreadPoolExecutor() as pool, open_session(settings.postgres_url) as looking:
        starting = pool.submit(start)
        until(lambda: waits(looking) or starting.done(), 20)
        session.commit()
        with pytest.raises(ConflictError, match="is active"):
            starting.result(20)
    assert shadows.running(session) is None


def test_a_promotion_waits_for_who_starts_a_shadow_and_ends_it(
    settings: Settings, session: Session, two_versions: tuple[int, int]
) -> None:
    def promote() -> None:
        with open_session(settings.postgres_url) as other:
            model_versions.activate(other, two_versions[1], "me")
            other.commit()

    shadows.start(session, two_versions[1], 0.5, "me")
    with ThreadPoolExecutor() as pool, open_session(settings.postgres_url) as looking:
        promoting = pool.submit(promote)
        until(lambda: waits(looking) or promoting.done(), 20)
        session.commit()
        promoting.result(20)
    assert shadows.running(session) is None
