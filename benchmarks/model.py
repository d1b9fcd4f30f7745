"""The fine-tuned model that the measurements use: trained once, then kept under .sortline/bench."""

from collections.abc import Iterable

from benchmarks.stack import HOME, Stack, say, stack
from benchmarks.texts import training_files
from db.models import Label, ModelVersion
from db.queries import model_forms, model_versions, training_runs
from db.queries.model_forms import Sealed
from db.session import session
from sortline.settings import Settings


def ensure_model() -> tuple[str, str]:
    """Checkpoint URI and sha256 of the trained model as a whole; trains it the first time."""
    _, uri, sha256 = ensure_forms()["whole"]
    return uri, sha256


def ensure_forms() -> dict[str, Sealed]:
    """The checkpoints of the trained model's forms, by name; trains it the first time."""
    with stack("model", keep=True) as made:
        url = made.settings.postgres_url
        with session(url) as opened:
            trained = model_versions.active(opened) is not None
        if not trained:
            train(made.settings)
        with session(url) as opened:
            version = model_versions.active(opened)
            assert version is not None
            rows = model_forms.of_version(opened, version.id)
            return {row.name: model_forms.sealed(opened, version, row.name) for row in rows if row.uri}


def train(settings: Settings) -> None:
    """Import and train, as `sortline import` and `sortline train` do."""
    from trainer.data.import_file import import_file
    from trainer.forms import improve_forms
    from trainer.run import train as run_training

    with session(settings.postgres_url) as opened:
        for path, split in training_files():
            import_file(opened, path, split=split)
        run_id = training_runs.create(opened, "benchmark", {}).id
        opened.commit()
    say("training the model of the benchmarks, once (about 7 minutes on 2 cores)")
    version_id = run_training(settings, run_id)
    assert version_id is not None
    improve_forms(settings, version_id)
    say("teaching its student, once (about 3 minutes)")
    improve_forms(settings, version_id, student_now=True)


def register(made: Stack, uri: str, sha256: str, forms: Iterable[Sealed] = ()) -> None:
    """Make a checkpoint, and its forms, the active model version of a stack, with labels of the same ids."""
    from classifier.checkpoint_folder import read_checkpoint
    from classifier.store import ModelStore

    store = ModelStore(str(HOME / "model" / "models"), made.settings.data_dir / "cache")
    description = read_checkpoint(store.fetch(uri, sha256), sha256).description
    with session(made.settings.postgres_url) as opened:
        for label_id, name in zip(description.label_ids, description.labels, strict=True):
            opened.merge(Label(id=label_id, name=name))
        version = ModelVersion(
            status="active", checkpoint_uri=uri, sha256=sha256, base_model=description.base_model,
            label_ids=description.label_ids,
        )  # fmt: skip
        opened.add(version)
        opened.flush()
        for form in forms:
            model_forms.add(opened, version.id, form.name, "proved", uri=form.uri, sha256=form.sha256)
        opened.commit()


def register_stub(made: Stack, labels: int = 2, us: int = 0, uri: str | None = None) -> None:
    """Make the stub with so many labels, to which a document takes so long, the active model version of a stack.

    Args:
        uri: of another classifier that computes nothing, which the stack's setting `classifier` loads.
    """
    rows = [Label(name=f"label {i + 1}") for i in range(labels)]
    with session(made.settings.postgres_url) as opened:
        opened.add_all(rows)
        opened.flush()
        ids = [row.id for row in rows]
        uri = uri or f"stub:{labels}@{us}"
        opened.add(ModelVersion(status="active", checkpoint_uri=uri, sha256="0", base_model="stub", label_ids=ids))
        opened.commit()
