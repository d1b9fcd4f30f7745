"""Retention: erase documents that are older than their label or the setting allows."""

import time
from typing import NamedTuple

from sqlalchemy.orm import Session

from db.queries import erasure, retention
from db.session import session
from sortline.settings import Settings
from trainer.report.texts import forget_erased, text_files

_PAGE = 1000
_MOST_S = 20.0  # for a run: housekeeping has other work


class Gone(NamedTuple):
    """What a run erased; ``after``: the id after which the next run goes on, 0 for the start."""

    documents: int
    dead_letters: int
    after: int


def retain(settings: Settings, after: int = 0, most_s: float = _MOST_S) -> Gone:
    """Erase what is due, in pages of 1,000 documents, each in one transaction; commits.

    Documents that wait for a person stay until they are decided. Those that model versions are judged by stay unless
    the setting retention_held_out says otherwise.

    Args:
        after: where the previous run stopped.
        most_s: seconds after which the rest is left to the next run.
    """
    began, documents, letters = time.monotonic(), 0, 0
    with session(settings.postgres_url) as opened:
        least = retention.least_days(opened, settings.retention_days)
        if least is None:
            return Gone(0, 0, 0)
        while time.monotonic() - began < most_s:
            page = retention.page(opened, after, _PAGE, least)
            if page.last is None or not page.old:
                after = 0
                break
            ids = retention.due(opened, after, page.last, settings.retention_days, settings.retention_held_out)
            documents += _erase(opened, ids)
            after = page.last
        if settings.retention_days:
            letters = retention.delete_letters(opened, settings.retention_days, _PAGE)
        if documents or letters:
            forget_erased(opened, text_files(opened, settings.models))
            erasure.note(opened, "beat", "retention", {"documents": documents, "dead_letters": letters})
        opened.commit()
    return Gone(documents, letters, after)


def _erase(opened: Session, ids: list[int]) -> int:
    if not ids:
        return 0
    erasure.begin(opened)
    gone = erasure.delete_documents(opened, ids, "retention").documents
    opened.commit()
    return gone
