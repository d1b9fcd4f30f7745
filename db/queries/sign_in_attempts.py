"""Queries on attempts to sign in: each password or code is counted, and the count committed, before it is checked.

So many attempts at once count as if they came one after another: each sees at least the attempts that were committed
before its own.
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
_MOST_BROWSERS = 20  # known browsers per person
# Limits for 15 minutes: for a name from one address, for one address, for a name from one known browser.
_MOST_TOGETHER, _MOST_ADDRESS, _MOST_BROWSER = 5, 20, 5
# Limit for an hour, for a name from anywhere but known browsers (OWASP ASVS 4.0.3, 2.2.1).
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
    """Count an attempt; the caller commits, and then calls `is_too_many`. Deletes old attempts.

    Args:
        address: the IPv4 address or IPv6 network.
        browser: sha256 of the cookie of a known browser of this name; None: any other browser.
    """
    session.execute(_PRUNE, {"kept": _KEPT, "most": _PRUNED})
    attempt = SignInFailure(name=name[:_MOST_NAME], address=address, browser=browser)
    session.add(attempt)
    session.flush()
    return attempt.id


def is_too_many(session: Session, name: str, address: str, browser: bytes | None) -> bool:
    """Whether an attempt that has been counted exceeds a limit, so that it must not be checked."""
    name = name[:_MOST_NAME]
    if browser is not None:
        counted = session.scalar(_OF_BROWSER, {"name": name, "browser": browser}) or 0
        return int(counted) > _MOST_BROWSER
    together, of_address, of_name = session.execute(_COUNTS, {"name": name, "address": address}).one()
    return bool(together > _MOST_TOGETHER or of_address > _MOST_ADDRESS or of_name > _MOST_NAME_HOUR)


def take_back(session: Session, attempt_id: int) -> None:
    """Uncount an attempt that was right or was not checked."""
    session.execute(delete(SignInFailure).where(SignInFailure.id == attempt_id))


def forgive(session: Session, name: str, address: str, browser: bytes) -> None:
    """Delete a person's wrong attempts in this browser, also those from before it was known."""
    before = (SignInFailure.address == address) & SignInFailure.browser.is_(None)
    own = or_(before, SignInFailure.browser == browser)
    session.execute(delete(SignInFailure).where(SignInFailure.name == name[:_MOST_NAME], own))


def is_known(session: Session, user_id: int, browser: bytes) -> bool:
    """Whether a person has signed in before with the browser whose cookie has this sha256."""
    known = select(KnownBrowser.user_id).where(
        KnownBrowser.token_hash == browser,
        KnownBrowser.user_id == user_id,
        KnownBrowser.seen_at > func.now() - _BROWSER_LASTS,
    )
    return session.scalar(known) is not None


def remember(session: Session, user_id: int, browser: bytes) -> None:
    """Remember a browser by its cookie's sha256 for 180 days after its last sign-in, at most twenty per person."""
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
