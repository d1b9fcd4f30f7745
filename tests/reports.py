"""A report in the model store, as a training leaves it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from db.models import ModelVersion

CASE = '<li data-document="{}"><p class="meta">{}</p>\n<p class="text soft" dir="auto">text not stored here</p></li>'


def add_report(
    session: Session, version: ModelVersion, folder: Path, documents: Sequence[int] = (), more: str = ""
) -> None:
    """Write the page of a report that lists documents, and let the version's row know it."""
    page = "<!doctype html><title>the report</title>" + "".join(CASE.format(each, each) for each in documents) + more
    (folder / "report.html").write_text(page)
    version.metrics = {**version.metrics, "report": str(folder)}
    version.report_sha256 = hashlib.sha256(page.encode()).hexdigest()
    session.commit()
