"""What pages that list documents show of each (templates/found.html)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from db.queries import document_search, model_versions
from db.queries.document_search import Found
from db.queries.sensitive import sensitive_documents
from web.documents.timeline import is_hidden, why
from web.visible import visible

CHARS = 300  # of a text


def in_order(opened: Session, ids: Sequence[int], chars: int = CHARS) -> list[Found]:
    """The documents that there still are with these ids, in their order."""
    by_id = {row.id: row for row in document_search.rows(opened, ids, chars)}
    return [by_id[each] for each in ids if each in by_id]


def listed(opened: Session, rows: Sequence[Found], lead: bool) -> dict[str, Any]:
    """The values of the template for these documents.

    Args:
        lead: whether it is a lead who looks: others may have to decide some of them without seeing what is said.
    """
    return {
        "rows": rows,
        "sensitive": sensitive_documents(opened, [row.id for row in rows]),
        "no_model": model_versions.active(opened) is None,
        "hidden": lambda row: is_hidden(row.waits_because, lead),
        "why": lambda reason: why(reason, lead),
        "visible": visible,
    }
