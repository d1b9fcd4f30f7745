"""Document filters from a query string, the same for pages and exports."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from db.queries.document_search import MADE_ELSEWHERE, STATES, Cursor, Filters
from db.queries.waiting_counts import REASONS
from sortline.errors import InvalidInputError
from sortline.text import check_kept, whole_number

DECISION_REASONS = (*REASONS, *MADE_ELSEWHERE)
_MOST_CHARS = 500
_NAMES = (
    "words", "source", "id", "since", "until", "predicted", "decision", "confidence_from", "confidence_to", "fit_from",
    "fit_to", "version", "state", "decided", "reviewer", "reason", "texts",
)  # fmt: skip


def parse_filters(given: Mapping[str, str], blind: bool = False, beside: tuple[str, ...] = ()) -> Filters:
    """The filters of a query string; empty values are ignored.

    ``words``, ``source``, ``id``; ``since`` and ``until`` (days, or moments, of UTC; a day as ``until`` is included);
    ``predicted``, ``decided`` (labels by name), ``decision``, ``confidence_from``, ``confidence_to``, ``fit_from``,
    ``fit_to`` (per cent), ``version``, ``state``, ``reviewer``, ``reason``, and ``texts=all`` for older texts too.

    Args:
        blind: as in `Filters`.
        beside: other names that the query string may contain.

    Raises:
        InvalidInputError: a name is unknown, or a value is invalid; the message says which.
    """
    asked = {name: value.strip() for name, value in given.items() if value.strip() and name not in beside}
    for name, value in asked.items():
        if name not in _NAMES:
            raise InvalidInputError(f"There is no filter {name[:50]!r}; the filters are {', '.join(_NAMES)}.")
        if len(value) > _MOST_CHARS:
            raise InvalidInputError(f"{name} may have at most {_MOST_CHARS} characters.")
        try:
            check_kept(value)
        except ValueError as error:
            raise InvalidInputError(f"{name} can't be accepted: {error}.") from None
    return Filters(
        words=asked.get("words"),
        source=asked.get("source"),
        external_id=asked.get("id"),
        since=_moment(asked, "since"),
        until=_moment(asked, "until"),
        predicted=asked.get("predicted"),
        decision=_one_of(asked, "decision", ("accept", "review")),
        confidence_from=_share(asked, "confidence_from"),
        confidence_to=_share(asked, "confidence_to"),
        fit_from=_share(asked, "fit_from"),
        fit_to=_share(asked, "fit_to"),
        model_version=_version(asked),
        state=_one_of(asked, "state", STATES),
        decided=asked.get("decided"),
        reviewer=asked.get("reviewer"),
        reason=_one_of(asked, "reason", DECISION_REASONS),
        all_texts=_one_of(asked, "texts", ("newest", "all")) == "all",
        blind=blind,
    )


def parse_cursor(given: str) -> Cursor | None:
    """Where a page begins, from a text made by `cursor_text`; None if the text is empty.

    Raises:
        InvalidInputError: the text is something else.
    """
    if not given:
        return None
    moment, _, id_ = given.partition("-")
    microseconds, last = whole_number(moment, 2**63 - 1), whole_number(id_, 2**63 - 1)
    try:
        if microseconds is None or last is None:
            raise OverflowError
        return Cursor(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds), last)
    except OverflowError:
        raise InvalidInputError("The address of this page is damaged; start again from the first page.") from None


def cursor_text(cursor: Cursor) -> str:
    """A cursor as text, for an address."""
    return f"{(cursor.received_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)}-{cursor.id}"


def _moment(asked: Mapping[str, str], name: str) -> datetime | None:
    value = asked.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if len(value) == len("2026-01-31") and name == "until":
            moment += timedelta(days=1)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError(f"{name} must be a day such as 2026-01-31, not {value[:50]!r}.") from None


def _share(asked: Mapping[str, str], name: str) -> float | None:
    value = asked.get(name)
    if value is None:
        return None
    try:
        percent = float(value.removesuffix("%").replace(",", "."))  # keyboards of many countries have only the comma
    except ValueError:
        percent = -1
    if not 0 <= percent <= 100:  # excludes NaN too
        raise InvalidInputError(f"{name} must be a number from 0 to 100 (per cent), not {value[:50]!r}.")
    return percent / 100


def _version(asked: Mapping[str, str]) -> int | None:
    value = asked.get("version")
    if value is None:
        return None
    found = whole_number(value, 2**31 - 1)
    if found is None:
        raise InvalidInputError(f"version must be the number of a model version, not {value[:50]!r}.")
    return found


def _one_of(asked: Mapping[str, str], name: str, known: tuple[str, ...]) -> str | None:
    value = asked.get(name)
    if value is not None and value not in known:
        raise InvalidInputError(f"{name} must be one of {', '.join(known)}, not {value[:50]!r}.")
    return value
