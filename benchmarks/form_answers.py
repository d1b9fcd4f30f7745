"""What each form of the trained model is worth: `python -m benchmarks.form_answers` prints a JSON line.

By name: ``accuracy`` on the test documents, and ``served``: whether the gate would let it serve, with the test texts as
the traffic that has come. What people would decide of a student's disagreements is what the test documents say.
"""

import json

import numpy as np
from numpy.typing import NDArray

from benchmarks.stack import stack
from classifier.classifier import load_classifier
from db.queries import model_forms, model_versions, training_runs
from db.session import session
from sortline.errors import TrainingError
from trainer.data.snapshot import read_snapshot
from trainer.data.training_data import label_indices
from trainer.evaluation.answering import logits_of
from trainer.evaluation.disagreements import MOST_DRAWN, Decided
from trainer.evaluation.forms import AS_REFERENCE, Judge
from trainer.evaluation.students import STUDENTS

Answers = NDArray[np.int64]


def main() -> None:
    """Measure and print."""
    with stack("model", keep=True) as made, session(made.settings.postgres_url) as opened:
        version = model_versions.active(opened)
        run = None if version is None else training_runs.made_by(opened, version.id)
        if version is None or run is None:
            raise TrainingError("the benchmarks' model is not trained yet")
        data = read_snapshot(opened, run[1])
        rows = model_forms.of_version(opened, version.id)
        sealed = [model_forms.sealed(opened, version, row.name) for row in rows if row.uri]
    whole = next(each for each in sealed if each.name == model_forms.WHOLE)
    reference = load_classifier(whole.uri, whole.sha256, made.settings.model_copy(update=AS_REFERENCE))
    usual = load_classifier(whole.uri, whole.sha256, made.settings)
    judge = Judge(reference, usual, data.validation, made.settings.gate_margin)
    texts = [document.text for document in data.test]
    labels = list(zip(reference.checkpoint.label_ids, reference.checkpoint.labels, strict=True))
    truth = label_indices(data.test, labels)
    said = logits_of(reference, texts).argmax(axis=1)
    found = {}
    for each in sealed:
        form = usual if each is whole else load_classifier(each.uri, each.sha256, made.settings)
        answers = logits_of(form, texts).argmax(axis=1)
        figures = {"accuracy": float((answers == truth).mean()), "served": True, "engine": form.engine.name}
        if each is not whole:
            student = each.name in STUDENTS
            verdict = (
                judge.student_verdict(form, _decided(said, answers, truth)) if student else judge.verdict(form, texts)
            )
            figures |= {"served": verdict.served, "lacks": None if verdict.served else verdict.reason}
        found[each.name] = figures
    print(json.dumps(found))


def _decided(said: Answers, answers: Answers, truth: Answers) -> Decided:
    differ = np.flatnonzero(said != answers)
    drawn = np.random.default_rng(1).permutation(differ)[:MOST_DRAWN]
    lost, gained = int((said == truth)[drawn].sum()), int((answers == truth)[drawn].sum())
    return Decided(len(said), len(differ), len(drawn), lost, gained, len(drawn) - lost - gained)


if __name__ == "__main__":
    main()
