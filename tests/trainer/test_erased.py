"""A document that is erased while a training uses it is not in the report that is written after that."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from labelled_lines import labelled_lines
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import ModelVersion
from db.queries import training_runs
from housekeeping.erase import Chosen, Stores, erase
from sortline.redis_client import connect
from sortline.settings import Settings
from trainer.data.import_file import ImportReport
from trainer.report.texts import TEXTS, unpack_texts
from trainer.run import train


def test_erased_while_it_trains(
    session: Session, settings: Settings, import_lines: Callable[..., ImportReport]
) -> None:
    import_lines(labelled_lines(120))
    run = training_runs.create(session, "test", {"epochs": 1})
    session.commit()
    erased: list[int] = []

    def erase_the_test_documents(progress: dict[str, Any]) -> None:
        if progress["stage"] != "writing the checkpoint and its report":
            return
        rows = session.execute(text(
            "SELECT id, source, external_id FROM documents JOIN document_splits ON document_id = id WHERE split = 'test'"
        )).all()  # fmt: skip
        session.rollback()
        erased.extend(row.id for row in rows)
        with connect(settings.redis) as client:
            stores = Stores(settings.postgres_url, client, settings.streams)
            erase(stores, Chosen([(row.source, row.external_id) for row in rows]), "test", "source and id")

    version_id = train(settings.model_copy(update={"quantise": False}), run.id, erase_the_test_documents)

    report = Path(session.get_one(ModelVersion, version_id).metrics["report"])
    page = (report / "report.html").read_text()
    assert any(f'data-document="{each}"' in page for each in erased)
    assert not {int(each) for each in unpack_texts((report / TEXTS).read_bytes())} & set(erased)
