"""Export the documents found as a file for other programs; the audit log records who took it."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from db.queries import audit, document_search
from db.queries.document_search import Filters, Found
from sortline.errors import TransientError
from web.documents.export_formats import FORMATS

OnDocument = Callable[[int], None]


class _Export:
    """One export: what is exported, by whom, and how many documents so far."""

    def __init__(self, session: Session, kind: str, asked: Mapping[str, str], actor: str) -> None:
        self.session, self.actor = session, actor
        self.detail: dict[str, object] = {"format": kind, "filters": dict(asked)}
        self.documents = 0

    def note(self, action: str) -> None:
        """Add a row to the audit log and commit."""
        detail = self.detail if action == "export began" else self.detail | {"documents": self.documents}
        audit.note(self.session, self.actor, action, "documents", detail)
        self.session.commit()

    def counted(self, rows: Iterator[Found], on_document: OnDocument) -> Iterator[Found]:
        for row in rows:
            self.documents += 1
            on_document(self.documents)
            yield row

    def watched(self, pieces: Iterator[bytes]) -> Generator[bytes]:
        """The pieces; the end is recorded, whether it is complete or not."""
        try:
            yield from pieces
        except BaseException as error:  # also if the reader goes away
            with suppress(SQLAlchemyError):  # the error itself matters more than a failure to record it
                self.session.rollback()
                self.note("export broken off")
            if isinstance(error, DBAPIError):
                why = str(error.orig).strip().partition("\n")[0]
                raise TransientError(f"the export broke off after {self.documents:,} documents: {why}") from None
            raise
        self.note("exported")


def what_leaves(filters: Filters, asked: Mapping[str, str]) -> Filters:
    """The filters of a file: it includes older texts that people decided, unless only the newest are asked for."""
    return filters if asked.get("texts") else replace(filters, decided_texts=True)


def export(
    session: Session,
    filters: Filters,
    kind: str,
    asked: Mapping[str, str],
    actor: str,
    on_document: OnDocument = lambda _count: None,
) -> Generator[bytes]:
    """The bytes of a file of all documents found; memory stays small with any number of documents.

    Commits rows of the audit log: before the first byte that the export began, and at the end how many documents it
    had, or that it broke off. No time limit cuts it: any error is raised, and what was written by then is not a valid
    file.

    Args:
        kind: one of `FORMATS`.
        asked: the filters as they were given, for the audit log.
        on_document: called with the number of documents that are done.

    Raises:
        InvalidInputError: there is no such label or person; nothing is recorded.
        ConfigurationError: the library that writes the format is not installed; nothing is recorded.
        TransientError: the database failed; raised while the pieces are read.
    """
    filters = what_leaves(filters, asked)
    document_search.count(session, filters, 0)  # unknown names are refused before anything is recorded
    made = _Export(session, kind, asked, actor)
    pieces = FORMATS[kind].write(made.counted(document_search.every(session, filters), on_document))
    made.note("export began")
    return made.watched(pieces)
