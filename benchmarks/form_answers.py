"""What each form of the trained model is worth: `python -m benchmarks.form_answers` prints a JSON line.

By name: ``accuracy`` on the test documents, and ``served``: whether the gate would let it serve, with the test texts as
the traffic that has come.
"""

import json

import numpy as np

from benchmarks.stack import stack
from classifier.classifier import load_classifier
from db.queries import model_forms, model_versions, training_runs
from db.session import session
from sortline.errors import TrainingError
from trainer.data.snapshot import read_snapshot
from trainer.evaluation.forms import AS_REFERENCE, Judge, logits_of


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
    truth = np.array([reference.checkpoint.label_ids.index(document.label_id) for document in data.test])
    found = {}
    for each in sealed:
        form = usual if each is whole else load_classifier(each.uri, each.sha256, made.settings)
        right = float((logits_of(form, texts).argmax(axis=1) == truth).mean())
        served = each is whole or judge.verdict(form, texts).served
        found[each.name] = {"accuracy": right, "served": served, "engine": form.engine.name}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
