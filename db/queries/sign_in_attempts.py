"""Queries on passwords and codes that are tried: each is counted, and the count committed, before it is checked.

So whoever tries many at once is counted as if one came after the other: among those that are counted at the same
time each sees at least those that were committed before it.
"""

from datetime import timedelta

from sqlalchemy import delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import KnownBrowser, SignInFailure

_MOST_NAME = 100
_KEPT = timedelta(hours=1)
_PRUNED = 1000
_BROWSER_LASTS = timedelta(days=180)
_MOST_BROWSERS = 20  # of one person
# In a quarter of an hour: of a name from one address, of one address, of a name from one known browser.
_MOST_TOGETHER, _MOST_ADDRESS, _MOST_BROWSER = 5, 20, 5
# In an hour, of a name from everywhere but known browsers (OWASP ASVS 4.0.3, 2.2.1).
_MOST_NAME_HOUR = 100

_COUNTS = text("""
SELECT count(*) FILTER (WHERE name = :name AND address = :address AND created_at > now() - interval '15 minutes'),
  count(*) FILTER (WHERE address = :address AND created_at > now() - interval '15 minutes'),
  count(*) FILTER (WHERE name = :name)
FROM sign_in_failures
WHERE browser IS NULL AND (name = :name OR address = :address) AND created_at > now() - interval '1 hour'
""")
_OF_BROWSER = text("""
SELECT count(*) FROM sign_in_failures
WHERE name = :name AND browser = :browser AND created_at > now() - interval '15 minutes'
""")
_PRUNE = text("""
DELETE FROM sign_in_failures WHERE id IN (
  SELECT id FROM sign_in_failures WHERE created_at < now() - CAST(:kept AS interval)
  LIMIT :most FOR UPDATE SKIP LOCKED)
""")


def begin(session: Session, name: str, address: str, browser: bytes | None) -> int:
    """Count an attempt; the caller commits, and asks `is_too_many` then. What is past is removed.

    Args:
        address: of IPv6 the network.
        browser: sha256 of the cookie of a browser that is known of this name; None: of any other.
    """
    session.execute(_PRUNE, {"kept": _KEPT, "most": _PRUNED})
    attempt = SignInFailure(name=name[:_MOST_NAME], address=address, browser=browser)
    session.add(attempt)
    session.flush()
    return attempt.id


def is_too_many(session: Session, name: str, address: str, browser: bytes | None) -> bool:
    """Whether an attempt that is counted already is one more than may be checked."""
    name = name[:_MOST_NAME]
    if browser is not None:
        counted = session.scalar(_OF_BROWSER, {"name": name, "browser": browser}) or 0
        return int(counted) > _MOST_BROWSER
    together, of_address, of_name = session.execute(_COUNTS, {"name": name, "address": address}).one()
    return bool(together > _MOST_TOGETHER or of_address > _MOST_ADDRESS or of_name > _MOST_NAME_HOUR)


def take_back(session: Session, attempt_id: int) -> None:
    """Count an attempt no more: it was right, or was not checked."""
    session.execute(delete(SignInFailure).where(SignInFailure.id == attempt_id))


def forgive(session: Session, name: str, address: str, browser: bytes) -> None:
    """Forget what a person got wrong on the way in, in this browser or before it was known."""
    before = (SignInFailure.address == address) & SignInFailure.browser.is_(None)
    own = or_(before, SignInFailure.browser == browser)
    session.execute(delete(SignInFailure).where(SignInFailure.name == name[:_MOST_NAME], own))


def is_known(session: Session, user_id: int, browser: bytes) -> bool:
    """Whether a person signed in with a browser before, whose cookie's sha256 it is."""
    known = select(KnownBrowser.user_id).where(
        KnownBrowser.token_hash == browser,
        KnownBrowser.user_id == user_id,
        KnownBrowser.seen_at > func.now() - _BROWSER_LASTS,
    )
    return session.scalar(known) is not None


def remember(session: Session, user_id: int, browser: bytes) -> None:
    """Know a browser by its cookie's sha256, for 180 days after its last sign-in; of a person the newest twenty."""
    made = insert(KnownBrowser).values(token_hash=browser, user_id=user_id)
    session.execute(
        made.on_conflict_do_update(
            index_elements=[KnownBrowser.token_hash, KnownBrowser.user_id], set_={"seen_at": func.now()}
        )
    )
    newest = (
        select(KnownBrowser.token_hash)
        .where(KnownBrowser.user_id == user_id)
        .order_by(KnownBrowser.seen_at.desc())
        .limit(_MOST_BROWSERS)
    )
    past = or_(KnownBrowser.token_hash.not_in(newest), KnownBrowser.seen_at < func.now() - _BROWSER_LASTS)
    session.execute(delete(KnownBrowser).where(KnownBrowser.user_id == user_id, past))
