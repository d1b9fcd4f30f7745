"""`sortline demo`: the whole line on the sample data, from an empty folder to labels."""

import csv
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier.figures import VersionFigures
from classifier.risk_targets import at_target, best_proved, named
from db.queries import model_forms, model_versions, people, risk_targets, training_runs
from db.queries.predictions import of_source
from db.session import session
from sortline.errors import ConfigurationError, TrainingError, TransientError
from sortline.postgres_address import PostgresAddress
from sortline.queue import Document, DocumentQueue
from sortline.settings import LANES, Settings

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_SENT_AT_ONCE = 500
_USER = "demo"
_PATIENCE_S = 300.0


@dataclass(frozen=True)
class Outcome:
    """What the demo shows at its end. Accuracies are shares of correct labels, None if there is nothing to count."""

    documents: int
    seconds: float
    labels: dict[str, int]
    accepted: int
    accuracy: float
    accuracy_accepted: float | None
    model_version: int
    engine: str

    @property
    def documents_per_s(self) -> float:
        return self.documents / self.seconds


def prepare_model(settings: Settings, on_training: Callable[[dict[str, object]], None]) -> bool:
    """Import the sample and train a first model, unless one is active; returns whether it trained."""
    from trainer.data.import_file import import_file
    from trainer.run import train

    with session(settings.postgres_url) as opened:
        if model_versions.trained(opened) is not None:
            return False
        import_file(opened, sample("support_messages.csv"))
        training_runs.expire(opened, 60, settings.training_attempts)
        left = training_runs.unfinished(opened)  # of a demo that was interrupted
        run_id = (left or training_runs.create(opened, "demo", {})).id
        opened.commit()
    version_id = train(settings, run_id, on_training)
    with session(settings.postgres_url) as opened:
        if model_versions.trained(opened) is None and version_id is not None:
            gate = VersionFigures.model_validate(model_versions.get(opened, version_id).metrics).gate
            raise TrainingError(f"the first model did not go live, its gate says {gate.outcome}: {gate.reason}")
    return True


def choose_target(postgres: PostgresAddress) -> str:
    """Choose the risk target that the sample can prove best, unless one holds already; what was done, in words."""
    with session(postgres) as opened:
        version = model_versions.active(opened)
        figures = VersionFigures.model_validate(model_forms.served_figures(opened, version) if version else {})
        best = best_proved(figures.offers)
        if risk_targets.chosen(opened) is not None or figures.guarantee.proved or best is None:
            return at_target(figures, risk_targets.chosen(opened)).guarantee.sentence
        risk_targets.choose(opened, best.guarantee.risk_target, _USER)
        opened.commit()
    target = named(best.guarantee.risk_target or 1.0)
    command = f"sortline models target {target.replace(' ', '')}"
    return f"the demo chooses the risk target {target} ({command}): {best.guarantee.sentence}"


def first_link(postgres: PostgresAddress, web_address: str) -> str:
    """A link that signs in the demo's first user; it works once."""
    with session(postgres) as opened:
        if not any(user.name == _USER for user in people.listing(opened)):
            people.add(opened, _USER, "admin", "demo")
        token = people.make_link(opened, people.by_name(opened, _USER), "demo")
        opened.commit()
    return f"{web_address}/sign-in/{token}"


def incoming(count: int) -> list[tuple[Document, str]]:
    """``count`` sample documents with their true labels; after the sample's end they repeat with a number added."""
    with sample("incoming.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    made = []
    for i in range(count):
        row, turn = rows[i % len(rows)], i // len(rows)
        text = row["text"] if turn == 0 else f"{row['text']} (ref {i})"
        made.append((Document(f"{row['id']}-{turn}", text, "demo"), row["label"]))
    return made


def wait_for_worker(queue: DocumentQueue, log: Path) -> str:
    """Wait until a worker has a model loaded; returns its engine's name.

    Args:
        log: the worker's, for the error.

    Raises:
        ConfigurationError: no worker had a model in time.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            ready = [worker for worker in queue.workers() if worker["model_version"]]
        except TransientError:
            ready = []
        if ready:
            return str(ready[0]["engine"])
        time.sleep(0.2)
    raise ConfigurationError(f"no worker has loaded the model in time; see its log {log}")


def run_documents(
    queue: DocumentQueue, documents: Sequence[Document], on_done: Callable[[float, float], None]
) -> float:
    """Send documents through the bulk lane and wait until all are committed; returns the seconds it took."""
    began = time.monotonic()
    for start in range(0, len(documents), _SENT_AT_ONCE):
        queue.append(documents[start : start + _SENT_AT_ONCE], "bulk")
    while left := sum(queue.lane(lane).backlog for lane in LANES):
        on_done(max(0, len(documents) - left), len(documents))
        time.sleep(0.1)
    on_done(len(documents), len(documents))
    return time.monotonic() - began


def summarise(postgres: PostgresAddress, sent: Sequence[tuple[Document, str]], seconds: float, engine: str) -> Outcome:
    """Read the labels back from Postgres and compare them with the true ones."""
    truth = {document.id: label for document, label in sent}
    with session(postgres) as opened:
        rows = [row for row in of_source(opened, "demo") if row.external_id in truth]
        version = model_versions.active(opened)
    right = [row.label == truth[row.external_id] for row in rows]
    accepted = [ok for ok, row in zip(right, rows, strict=True) if row.decision == "accept"]
    return Outcome(
        documents=len(rows),
        seconds=seconds,
        labels=dict(Counter(row.label for row in rows).most_common()),
        accepted=len(accepted),
        accuracy=sum(right) / max(1, len(right)),
        accuracy_accepted=sum(accepted) / len(accepted) if accepted else None,
        model_version=version.id if version else 0,
        engine=engine,
    )


def sample(name: str) -> Path:
    """A file of the sample data.

    Raises:
        ConfigurationError: it is missing.
    """
    path = EXAMPLES / name
    if not path.is_file():
        raise ConfigurationError(f"sample data {path} is missing: run the demo in a clone of the repository")
    return path
