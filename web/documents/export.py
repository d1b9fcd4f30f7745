"""What is found, as a file for other programs, and in the audit who took it."""

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
    """One export: what it takes, who takes it, and how many documents it has given so far."""

    def __init__(self, session: Session, kind: str, asked: Mapping[str, str], actor: str) -> None:
        self.session, self.actor = session, actor
        self.detail: dict[str, object] = {"format": kind, "filters": dict(asked)}
        self.documents = 0

    def note(self, action: str) -> None:
        """Add a row to the audit and commit."""
        detail = self.detail if action == "export began" else self.detail | {"documents": self.documents}
        audit.note(self.session, self.actor, action, "documents", detail)
        self.session.commit()

    def counted(self, rows: Iterator[Found], on_document: OnDocument) -> Iterator[Found]:
        for row in rows:
            self.documents += 1
            on_document(self.documents)
            yield row

    def watched(self, pieces: Iterator[bytes]) -> Generator[bytes]:
        """The pieces; the end is noted, be it the last of them or not."""
        try:
            yield from pieces
        except BaseException as error:  # a reader that goes away, too
            with suppress(SQLAlchemyError):  # the error says more than that it could not be noted
                self.session.rollback()
                self.note("export broken off")
            if isinstance(error, DBAPIError):
                why = str(error.orig).strip().partition("\n")[0]
                raise TransientError(f"the export broke off after {self.documents:,} documents: {why}") from None
            raise
        self.note("exported")


def what_leaves(filters: Filters, asked: Mapping[str, str]) -> Filters:
    """The filters of a file: older texts that people decided belong to it, unless the newest alone are asked for."""
    return filters if asked.get("texts") else replace(filters, decided_texts=True)


def export(
    session: Session,
    filters: Filters,
    kind: str,
    asked: Mapping[str, str],
    actor: str,
    on_document: OnDocument = lambda _count: None,
) -> Generator[bytes]:
    """The bytes of a file of all that is found; memory stays small with any number of documents.

    Commits for the audit: that it began, before the first byte; how many documents left, after the last, or that it
    was broken off. No limit of time cuts it: whatever goes wrong is raised, and what was given by then is no file.

    Args:
        kind: one of `FORMATS`.
        asked: the filters as they were given, for the audit.
        on_document: called with how many documents are done.

    Raises:
        InvalidInputError: there is no such label or person; nothing is noted.
        ConfigurationError: what writes the format is not installed; nothing is noted.
        TransientError: the database broke off; raised while the pieces are read.
    """
    filters = what_leaves(filters, asked)
    document_search.count(session, filters, 0)  # names that are unknown are refused before anything is noted
    made = _Export(session, kind, asked, actor)
    pieces = FORMATS[kind].write(made.counted(document_search.every(session, filters), on_document))
    made.note("export began")
    return made.watched(pieces)
