"""Erasing documents: by name, from every store.

The database comes first, some names in each transaction: their rows are deleted, and a stored hash keeps out copies
that are still on their way. From then on nobody sees them. Then the sweep removes them from Redis' streams and from
the texts of reports; housekeeping repeats it until nothing is left. housekeeping/rewrite.py removes the bytes that
deleted rows leave in files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from sqlalchemy.exc import OperationalError

from db.queries import erasure
from db.queries.erasure import Name
from db.session import session
from housekeeping import streams
from sortline.errors import TransientError
from sortline.postgres_address import PostgresAddress
from sortline.queue import unpack_entry
from sortline.redis_client import reaching
from trainer.report.texts import forget_erased, text_files

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Stores:
    """Where documents are: in Postgres, and in Redis' streams."""

    postgres: PostgresAddress
    redis: redis.Redis
    streams: streams.Streams


@dataclass(frozen=True, slots=True)
class Chosen:
    """What to erase: documents by name, and dead letters without a name by id."""

    names: Sequence[Name]
    letters: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """How much there is of what was chosen; ``held_out``: documents that model versions are judged by."""

    names: int = 0
    documents: int = 0
    predictions: int = 0
    reviews: int = 0
    held_out: int = 0
    dead_letters: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed: entries and events in Redis, texts in reports.

    ``held``: entries that workers hold and that are older than an erasure; until there are none, it is not done.
    """

    entries: int = 0
    events: int = 0
    texts: int = 0
    held: int = 0


def choose_by_meta(stores: Stores, key: str, value: str) -> Chosen:
    """All documents, dead letters and entries in the lanes whose meta has that value.

    If one version of a document has it, the document is chosen with all its versions.
    """

    def wanted(fields: streams.Fields) -> bool:
        return streams.has_meta(fields, key, value)

    letters: list[int] = []
    with reaching(stores.redis):
        names = set(streams.waiting(stores.redis, stores.streams, wanted))
    with session(stores.postgres) as opened:
        names |= set(erasure.names_by_meta(opened, key, value))
        for letter in erasure.letters(opened):
            if not wanted(dict(unpack_entry(letter.raw))):
                continue
            if letter.source is None or letter.external_id is None:
                letters.append(letter.id)
            else:
                names.add((letter.source, letter.external_id))
    return Chosen(sorted(names), letters)


def count_chosen(stores: Stores, chosen: Chosen) -> Found:
    """Count what was chosen, without changing anything."""
    names = set(chosen.names)
    with reaching(stores.redis):
        waiting = len(streams.waiting(stores.redis, stores.streams, lambda fields: streams.name_of(fields) in names))
    with session(stores.postgres) as opened:
        facts = erasure.facts(opened, erasure.find(opened, chosen.names))
        letters = erasure.count_letters(opened, chosen.names, chosen.letters)
    return Found(len(names), *facts, letters, waiting)


def erase(
    stores: Stores, chosen: Chosen, actor: str, how: str,
    on_done: Callable[[int], None] = lambda _: None,
) -> Found:  # fmt: skip
    """Erase from the database, some names in each transaction; commits. The sweep does the rest.

    Args:
        actor: who asks, as the audit log names them.
        how: the kind of criterion it was chosen by, for the audit log; no values.
        on_done: called with the number of names that are done.

    Raises:
        TransientError: a server can't be reached, or one of the documents was locked for over 10 s; a repeat goes on.
    """
    found = Found()
    names = sorted(set(chosen.names))
    for start in range(0, max(len(names), 1), _CHUNK):
        chunk = names[start : start + _CHUNK]
        found = _sum(found, _erase(stores, chunk, () if start else chosen.letters, actor, how))
        on_done(start + len(chunk))
    return found


def _erase(stores: Stores, names: list[Name], letters: Sequence[int], actor: str, how: str) -> Found:
    try:
        with session(stores.postgres) as opened, reaching(stores.redis):
            erasure.begin(opened)
            dead = erasure.delete_letters(opened, names, letters)
            # Only now: a letter that was just being requeued is on its lane by now.
            erasure.remember(opened, names, streams.last_ids(stores.redis, stores.streams))
            facts = erasure.delete_documents(opened, erasure.find(opened, names), "request")
            found = Found(len(names), *facts, dead)
            erasure.note(opened, actor, "erase", {"how": how, **_counts(found)})
            opened.commit()
    except OperationalError as error:
        first = str(error.orig).strip().partition("\n")[0]
        raise TransientError(f"not everything is erased ({first}); run the same command again to go on") from None
    return found


def sweep(stores: Stores, models: str) -> Swept:
    """Remove what was erased from the streams and the reports, and note which erasures are done. Commits.

    Args:
        models: folder or URL of the model store, where the reports are.

    Raises:
        TransientError: a server or the model store can't be reached; the next sweep does it.
    """
    client, keys = stores.redis, stores.streams
    with session(stores.postgres) as opened, reaching(client):
        erasures = erasure.unswept(opened)
        if not erasures:
            return Swept()
        held = streams.held(client, keys, erasures)  # first: what is not held by now has sent its events
        entries = streams.clear_lanes(client, keys, erasures)
        events = streams.clear_results(client, keys["results"], erasures, lambda names: erasure.known(opened, names))
        texts = forget_erased(opened, text_files(opened, models))
        if not held:
            erasure.mark_swept(opened, erasures)
        opened.commit()
    return Swept(entries, events, texts, held)


def _sum(one: Found, other: Found) -> Found:
    return Found(*(getattr(one, name) + getattr(other, name) for name in Found.__dataclass_fields__))


def _counts(found: Found) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("names", "documents", "predictions", "reviews", "dead_letters")}
