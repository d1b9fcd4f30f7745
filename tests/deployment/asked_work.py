"""Work that Celery's messages ask for, and what became of it."""

from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session
from tiny_versions import TEXTS, add_version, promote

from db.models import Document as DocumentRow
from db.models import Explanation, TrainingRun
from monitoring.status import line_status
from sortline.queue import Document, DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings
from tests.conftest import until
from trainer.trigger import send
from web.worker_tasks import send_to_worker


class Work:
    """What Celery's messages ask for: a training, an explanation, a re-scoring."""

    def __init__(self, session: Session, settings: Settings, folder: Path) -> None:
        self.session, self.settings = session, settings
        self.versions = [add_version(session, folder, seed) for seed in (0, 1)]
        promote(session, self.versions[0])
        self.queue = DocumentQueue(connect(settings.redis), settings)

    def count(self, sql: str) -> int:
        self.session.rollback()
        return int(self.session.scalar(text(sql)) or 0)

    def classify(self) -> None:
        """Three documents that wait for a person, by the first version."""
        self.queue.append([Document(id_, TEXTS[id_]) for id_ in list(TEXTS)[:3]])
        until(lambda: self.count("SELECT count(*) FROM predictions") == 3, 120)

    def train(self) -> None:
        """Ask for a training, which fails for want of labelled documents as soon as a trainer takes it."""
        run = TrainingRun(reason="test")
        self.session.add(run)
        self.session.commit()
        send(self.settings.celery_broker, run.id)

    def unfinished(self) -> bool:
        """Whether a training waits or runs."""
        return bool(self.count("SELECT count(*) FROM training_runs WHERE state IN ('waiting', 'running')"))

    def ask(self) -> None:
        """Ask for one of each."""
        self.train()
        document_id = self.session.scalar(select(func.min(DocumentRow.id)))
        asked = Explanation(document_id=document_id, model_version_id=self.versions[0], label_id=11, form="whole")
        self.session.add(asked)
        self.session.commit()
        send_to_worker(self.settings.broker, "worker.explain", document_id or 0, self.versions[0], 11)
        promote(self.session, self.versions[1])

    def waiting(self) -> list[str]:
        """What nobody has taken."""
        counts = {
            "training": "SELECT count(*) FROM training_runs WHERE state = 'waiting'",
            "explanation": "SELECT count(*) FROM explanations WHERE state = 'waiting'",
            "re-scoring": f"SELECT count(*) FROM queue_items WHERE model_version_id <> {self.versions[1]}",
        }
        return [name for name, sql in counts.items() if self.count(sql)]

    def alarms(self) -> dict[str, str]:
        found = line_status(self.session, self.queue, self.settings)["alarms"]
        return {alarm["name"]: alarm["said"] for alarm in found}
