"""The texts that reports show: one small file beside each report, which erasure rewrites."""

import json
from collections.abc import Iterable

from sqlalchemy.orm import Session

from classifier.store_uri import reached, read_bytes, write_bytes
from db.queries import erasure, model_versions
from sortline.errors import TransientError

TEXTS = "texts.js"
TEXT_LENGTH = 2_000  # characters of each
_HEAD = "window.sortlineTexts = "


def pack_texts(texts: dict[str, str]) -> str:
    """The file: a script of one JSON object, by document id."""
    # ASCII without "<" means the same in JSON, in JavaScript and inside a page.
    written = json.dumps(texts, indent=0).replace("<", "\\u003c")
    return f"{_HEAD}{written}\n"


def unpack_texts(raw: bytes) -> dict[str, str]:
    """The texts of a file, by document id."""
    found: dict[str, str] = json.loads(raw.decode().removeprefix(_HEAD))
    return found


def forget_erased(session: Session, files: Iterable[str]) -> int:
    """Remove the texts of documents that no longer exist from these files; returns how many.

    Nobody else rewrites them until the transaction ends.

    Raises:
        TransientError: the model store can't be used.
    """
    erasure.lock_reports(session)
    return sum(_forget(session, file) for file in files)


def text_files(session: Session, store: str) -> list[str]:
    """Where the texts of reports are: of all in the model store, and of versions whose report is elsewhere."""
    known = {f"{uri.rstrip('/')}/{TEXTS}" for uri in model_versions.report_addresses(session)}
    with reached(store) as (file_system, root):
        here = {str(file_system.unstrip_protocol(path)) for path in file_system.glob(f"{root}/*/{TEXTS}")}
    return sorted({each.removeprefix("file://") for each in known | here})


def _forget(session: Session, file: str) -> int:
    try:
        texts = unpack_texts(read_bytes(file))
    except FileNotFoundError:
        return 0
    except (OSError, ImportError) as error:
        raise TransientError(f"{file} can't be read: {error}") from None
    gone = erasure.missing(session, [int(id_) for id_ in texts])
    if gone:
        left = pack_texts({id_: text for id_, text in texts.items() if int(id_) not in gone}).encode()
        write_bytes(file, left)
    return len(gone)
