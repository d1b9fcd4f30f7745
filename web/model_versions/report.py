"""A training's report as the web shows it: the page that the trainer wrote, with texts from the database.

The model store is not trusted. A page is shown only if its checksum matches the database, the side file with its texts
is not read at all, and no script runs in the page (`HEADERS`).
"""

import hashlib
import re
from collections.abc import Mapping

from markupsafe import escape

from classifier.figures import VersionFigures
from classifier.store_uri import read_bytes
from db.models import ModelVersion
from sortline.errors import ConflictError, NotFoundError, TransientError

PAGE = "report.html"
MOST_BYTES = 2**25
# Sandboxed without any permission: no script, no form, no origin, whatever the file contains.
HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
_SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)
_CASE = re.compile(r'(<li data-document="(\d{1,19})".*?<p class=")text soft(" dir="auto">)[^<]*', re.DOTALL)


def read_report(version: ModelVersion) -> str:
    """The page of a version's report, as the trainer wrote it.

    Raises:
        NotFoundError: there is no report, or its file is gone.
        ConflictError: the file is not the one that the trainer wrote, or that can't be checked.
        TransientError: the model store can't be used.
    """
    uri = VersionFigures.model_validate(version.metrics).report
    if not uri:
        raise NotFoundError(f"Model version {version.id} has no report.")
    if version.report_sha256 is None:
        raise ConflictError(
            f"The report of model version {version.id} was written before reports had checksums, so it is not shown "
            "here. Read it in the model store."
        )
    raw = _read(f"{uri}/{PAGE}", version.id)
    if hashlib.sha256(raw).hexdigest() != version.report_sha256:
        raise ConflictError(
            f"The report of model version {version.id} was changed after the training wrote it, so it is not shown: "
            "its checksum differs from the database's. Find out who can write to the model store."
        )
    return raw.decode()


def documents_of(html: str) -> list[int]:
    """Ids of the documents that a page lists."""
    return [int(found[2]) for found in _CASE.finditer(html)]


def filled(html: str, texts: Mapping[int, str]) -> str:
    """The page with the documents' texts, and without the script that would insert them from a side file."""

    def case(found: re.Match[str]) -> str:
        text = texts.get(int(found[2]))
        return found[0] if text is None else f"{found[1]}text{found[3]}{escape(text)}"

    return _SCRIPT.sub("", _CASE.sub(case, html))


def _read(file: str, version_id: int) -> bytes:
    try:
        return read_bytes(file, MOST_BYTES)
    except FileNotFoundError:
        raise NotFoundError(f"The report of model version {version_id} is not in the model store.") from None
    except Exception as error:  # each driver raises its own service's errors
        raise TransientError(f"the model store can't be used: {type(error).__name__}: {error}") from None
