"""Retention: documents are erased when they are older than their label, or the setting, allows."""

import time
from typing import NamedTuple

from sqlalchemy.orm import Session

from db.queries import erasure, retention
from db.session import session
from sortline.settings import Settings
from trainer.report.texts import forget_erased, text_files

_PAGE = 1000
_MOST_S = 20.0  # of a run: housekeeping has other work


class Gone(NamedTuple):
    """What a run erased; ``after``: id from which the next one goes on, 0: from the start."""

    documents: int
    dead_letters: int
    after: int


def retain(settings: Settings, after: int = 0, most_s: float = _MOST_S) -> Gone:
    """Erase what is due, a page of 1,000 documents each time whole; commits.

    Documents that wait for a person stay until they are decided; those that models are judged by stay unless the
    setting retention_held_out says otherwise.

    Args:
        after: where the run before left off.
        most_s: seconds after which it leaves the rest to the next run.
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
            documents += _retain(opened, settings, after, page.last)
            after = page.last
        if settings.retention_days:
            letters = retention.delete_letters(opened, settings.retention_days, _PAGE)
        if documents or letters:
            forget_erased(opened, text_files(opened, settings.models))
            erasure.note(opened, "beat", "retention", {"documents": documents, "dead_letters": letters})
        opened.commit()
    return Gone(documents, letters, after)


def _retain(opened: Session, settings: Settings, after: int, last: int) -> int:
    ids = retention.due(opened, after, last, settings.retention_days, settings.retention_held_out)
    if not ids:
        return 0
    erasure.begin(opened)
    gone = erasure.delete_documents(opened, ids, "retention").documents
    opened.commit()
    return gone
