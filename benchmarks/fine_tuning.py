"""The fine-tuning that is measured: the documents it learns from, and the model that comes of it, in float32."""

from pathlib import Path

from benchmarks.stack import stack
from benchmarks.texts import training_files
from classifier.base_models import base_model_folder
from classifier.checkpoint import Checkpoint
from classifier.classifier import Classifier, assemble
from db.queries.labelled import labelled_documents
from db.session import session
from sortline.settings import Settings
from trainer.data.import_file import import_file
from trainer.data.training_data import TrainingData, select
from trainer.fine_tuning.prepare import Base


def training_documents() -> tuple[TrainingData, Settings, Base]:
    """The documents of the benchmarks in their splits, imported the first time; settings, and the base model."""
    with stack("train", keep=True) as made:
        with session(made.settings.postgres_url) as opened:
            documents = labelled_documents(opened)
            if not documents:
                for path, split in training_files():
                    import_file(opened, path, split=split)
                opened.commit()
                documents = labelled_documents(opened)
        settings = made.settings
    return select(documents), settings, Base(settings.base_model, base_model_folder(settings.base_model))


def in_float32(run: Path, tokenizer: Path, description: Checkpoint, settings: Settings) -> Classifier:
    """A fine-tuned model on torch; the tokenizer's files become its own."""
    for path in tokenizer.iterdir():
        path.rename(run / "model" / path.name)
    reference = settings.model_copy(update={"engine": "torch", "precision": "f32", "device": "cpu"})
    return assemble(run / "model", description, reference)
