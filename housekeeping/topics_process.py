"""Group what is undecided, and what may be a new label: `python -m housekeeping.topics_process`, a process of its own.

Housekeeping starts it when a grouping is due, with one thread, and does not wait for it. It has a low priority, and
ends itself if it takes too long.
"""

import logging
import os
import re
import signal
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from db.queries import grouping_input, groupings
from db.queries.grouping_input import Read
from db.queries.groupings import KINDS, NEW_LABEL, UNDECIDED, Kind
from db.session import session
from db.vector_array import Matrix
from sortline.errors import SortlineError
from sortline.logs import set_up_logging, silence_telemetry
from sortline.settings import Settings, get_settings

if TYPE_CHECKING:
    from housekeeping.groups import Group

log = logging.getLogger(__name__)

EVERY_S = 3600.0
LEAST: dict[Kind, int] = {UNDECIDED: 20, NEW_LABEL: 5}  # documents, with which grouping begins
MOST: dict[Kind, int] = {UNDECIDED: 100_000, NEW_LABEL: 20_000}  # documents
_COPIES = 1_000  # of a text among what may be a new label: what one bulk decision takes
_MOST_TEXTS = 4_000  # that are compared with each other
CHARS = 500  # of each text, for its words
_LONGEST_S = 900
_DIGITS = re.compile("[0-9]+")


def group_topics(settings: Settings) -> int:
    """Group documents of all kinds and store the topics; returns how many there are. A failure is stored too.

    Raises:
        SortlineError, DBAPIError: a server can't be reached, or did not do what it was asked.
    """
    return sum(_group_kind(settings, kind) for kind in KINDS)


def _group_kind(settings: Settings, kind: Kind) -> int:
    with session(settings.postgres_url) as opened:
        grouping_id = groupings.begin(opened, kind)
        opened.commit()
    try:
        return _group(settings, grouping_id, kind)
    except (SortlineError, DBAPIError) as error:
        with session(settings.postgres_url) as opened:
            groupings.end(opened, grouping_id, error=type(error).__name__)
            opened.commit()
        raise


def _group(settings: Settings, grouping_id: int, kind: Kind) -> int:
    began = time.monotonic()
    traffic: dict[tuple[int, int], tuple[Matrix, list[int | None]]] = {}
    waiting: Read | None = None
    with session(settings.postgres_url) as opened:
        if kind == UNDECIDED:
            reads = [grouping_input.undecided(opened, MOST[kind], CHARS)]
        else:
            reads = grouping_input.maybe_new(opened, MOST[kind], CHARS, _COPIES)
            encoders = [read.encoder for read in reads if read.encoder]
            traffic = {each: grouping_input.traffic(opened, each, CHARS) for each in encoders}
            waiting = grouping_input.undecided(opened, MOST[kind], CHARS) if encoders else None
    count = sum(len(read.texts) for read in reads)
    if kind == UNDECIDED:
        groups = _all(reads[0], LEAST[kind])
    else:
        groups = []
        for read in reads:
            if read.encoder:
                others = waiting if waiting and waiting.encoder == read.encoder else None
                groups += _alike(read, others, *traffic[read.encoder], LEAST[kind])
        if waiting:  # rows of what has joined, which counts among what could be grouped
            known = {row.id for read in reads for row in read.texts}
            joined = sum(id_ not in known for each in groups for id_ in each.ids)
            reads = [reads[0]._replace(waiting=reads[0].waiting + joined), *reads[1:], waiting]
    with session(settings.postgres_url) as opened:
        groupings.store(opened, grouping_id, kind, groups, reads)
        opened.commit()
    log.info(
        "grouped %d documents (%s) in %d topics in %.1f s", count, kind.replace("_", " "), len(groups),
        time.monotonic() - began,
    )  # fmt: skip
    return len(groups)


def _all(read: Read, least: int) -> "list[Group]":
    """All that was read, in groups."""
    from housekeeping.groups import Text, group

    if len(read.texts) < least:
        return []
    return group([Text(row.id, row.text, row.content_hash) for row in read.texts], read.vectors)


def _alike(
    read: Read, waiting: Read | None, traffic: Matrix, labels: list[int | None], least: int
) -> "list[Group]":  # fmt: skip
    """What is alike of what was read, in groups of at least so many documents.

    Args:
        waiting: undecided documents whatever their fit, which join a group that they are alike; None: there are none.
        traffic: vectors (n, d) of documents as they come, from which what was read differs.
        labels: what each of these was predicted as.
    """
    from housekeeping.groups import Text, alike, centre_of, group, near

    texts = [Text(row.id, row.text, row.content_hash) for row in read.texts]
    if len(texts) < least:
        return []
    centre = centre_of(traffic, labels)
    first = set(list(dict.fromkeys(each.content_hash for each in texts))[:_MOST_TEXTS])
    kept = [place for place, each in enumerate(texts) if each.content_hash in first]
    found = group([texts[place] for place in kept], read.vectors[kept], lambda vectors: alike(vectors, centre))
    found = [each for each in found if len(each.ids) >= least]
    if not waiting or not found:
        return found
    places = {each.id: place for place, each in enumerate(texts)}
    known = {_folded(each.text) for each in texts}  # further copies of what is grouped add nothing
    others = [place for place, row in enumerate(waiting.texts) if _folded(row.text) not in known]
    members = [read.vectors[[places[id_] for id_ in each.ids]] for each in found]
    joined = near(waiting.vectors[others], members, centre)
    return [
        each._replace(
            ids=[*each.ids, *(waiting.texts[others[place]].id for place in more[:_COPIES])],
            copies=each.copies and not more,
        )
        for each, more in zip(found, joined, strict=True)
    ]


def _folded(text: str) -> str:
    return _DIGITS.sub("0", text.lower())


def main() -> None:
    """Group documents."""
    silence_telemetry()
    os.nice(10)
    signal.alarm(_LONGEST_S)
    settings = get_settings()
    set_up_logging(settings.log_level, settings.log_format)
    try:
        group_topics(settings)
    except (SortlineError, DBAPIError) as error:
        log.warning("documents can't be grouped now: %s", error)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
