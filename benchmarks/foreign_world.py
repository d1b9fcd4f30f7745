"""Banking77 without 27 of its labels, which are foreign then, and news, which is foreign to all of it."""

import csv
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.stack import Stack, say, stack
from benchmarks.texts import ag_news, banking77
from classifier.base_models import base_model_folder
from classifier.classifier import Classifier, load_classifier
from classifier.engines.choose import cores
from classifier.engines.protocol import Outputs
from db.queries import model_versions, training_runs
from db.queries.labelled import labelled_documents
from db.session import session
from trainer.data import bounds
from trainer.data.import_file import import_file
from trainer.data.training_data import TrainingData, label_indices, select
from trainer.evaluation.cross_validation import cross_validate
from trainer.evaluation.fit_model import Sample
from trainer.evaluation.forms import pretrained_vectors
from trainer.evaluation.judge import fair_answers
from trainer.evaluation.thresholds import Held
from trainer.run import train

# The labels that the near-domain split of Zhang et al., "Are Pretrained Transformers Robust in Intent Classification?",
# 2021, leaves out.
_NEAR = """
age_limit, atm_support, card_acceptance, card_delivery_estimate, card_not_working, card_swallowed, compromised_card,
contactless_not_working, exchange_rate, get_disposable_virtual_card, get_physical_card, getting_virtual_card,
lost_or_stolen_card, passcode_forgotten, pin_blocked, receiving_money, terminate_account,
top_up_by_bank_transfer_charge, top_up_by_card_charge, top_up_by_cash_or_cheque, top_up_limits, topping_up_by_card,
transfer_into_account, unable_to_verify_identity, verify_my_identity, verify_source_of_funds, virtual_card_not_working
"""
NEAR = frozenset(name.strip() for name in _NEAR.split(","))


class Foreign(NamedTuple):
    """Outputs of foreign documents, and the group (n,) of each: its label, or its kind of news."""

    outputs: Outputs
    groups: NDArray[np.str_]

    def only(self, chosen: NDArray[np.int64]) -> Outputs:
        """The outputs of some of them."""
        return Outputs(*(each[chosen] for each in self.outputs))


class World(NamedTuple):
    """A model of the other 50 labels, as it answers: its own documents by part, and foreign ones.

    ``training``: a sample of what it was trained on; ``pretrained``: what the encoder that it began as gives of these;
    ``cross_validated``: answers to what it was trained on, of models that never saw them; ``near``: test texts of the
    27 labels; ``near_training``: their training texts, which people may decide; ``far``: news. ``accuracy``: on the
    known test documents.
    """

    training: Sample
    pretrained: NDArray[np.float32]
    cross_validated: Held
    validation: Sample
    calibration: Sample
    test: Sample
    near: Foreign
    near_training: Foreign
    far: Foreign
    accuracy: float


def foreign_world() -> World:
    """What the model answers; it is trained the first time, and kept.

    Raises:
        OSError: banking77 or AG News isn't here.
    """
    with stack("open_world", keep=True) as made:
        classifier, data = _model(made)
        found = pretrained_vectors(classifier.checkpoint, [each.text for each in data.train], made.settings)
        assert found is not None
        count = len(data.train)
        places = random.Random(1).sample(range(count), min(bounds.FIT, count))  # as a training draws them
        base, threads = base_model_folder(made.settings.base_model), cores(made.settings.threads)
        unseen = cross_validate(data, base, classifier.checkpoint.cleaning, made.settings.device, threads, found)
    parts = ([data.train[place] for place in places], data.validation, data.calibration, data.test)
    samples = [
        Sample(_answers(classifier, [each.text for each in part]), label_indices(part, data.labels)) for part in parts
    ]
    trained, validation, calibration, tested = samples
    training, test = banking77()
    news = [each for part in ag_news() for each in part]
    near, near_training, far = (
        Foreign(_answers(classifier, [text for text, _ in rows]), np.array([group for _, group in rows]))
        for rows in ([row for row in test if row[1] in NEAR], [row for row in training if row[1] in NEAR], news)
    )
    right = tested.outputs.logits.argmax(axis=1) == tested.targets
    planned = fair_answers(unseen, data)
    return World(
        trained, found[places], planned, validation, calibration, tested, near, near_training, far, float(right.mean())
    )


def _answers(classifier: Classifier, texts: Sequence[str]) -> Outputs:
    say(f"answering {len(texts):,} texts")
    return classifier.outputs(texts)


def _model(made: Stack) -> tuple[Classifier, TrainingData]:
    with session(made.settings.postgres_url) as opened:
        if model_versions.active(opened) is None:
            for split, rows in zip(("test", "train"), reversed(banking77()), strict=True):
                path = made.settings.data_dir / f"{split}.csv"
                with path.open("w", newline="", encoding="utf-8") as file:
                    csv.writer(file).writerows([("text", "label"), *(row for row in rows if row[1] not in NEAR)])
                import_file(opened, path, split=split)
            run_id = training_runs.create(opened, "benchmark", {}).id
            opened.commit()
            say("training a model of 50 labels, once (about 6 minutes on 2 cores)")
            train(made.settings, run_id)
            opened.rollback()
        version = model_versions.active(opened)
        assert version is not None
        data = select(labelled_documents(opened))
        classifier = load_classifier(version.checkpoint_uri, version.sha256, made.settings)
    assert data.labels == list(zip(classifier.checkpoint.label_ids, classifier.checkpoint.labels, strict=True))
    return classifier, data
