"""A candidate is compared with the starter on decisions that neither had learnt, cross-validated while they are few."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from labelled_lines import labelled_lines
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from classifier.figures import VersionFigures
from classifier.shortcomings import shortcomings
from db.models import Label
from db.queries import labelled, model_versions, people, training_runs
from sortline.settings import Settings
from trainer.data.training_data import select as choose
from trainer.evaluation.against_starter import NONE, Unlearnt, against_starter, held_out
from trainer.evaluation.compare import _instead_of_starter
from trainer.evaluation.gate import Answers, missing_documents, paired_interval
from trainer.report.report import verdict as told
from trainer.run import train
from trainer.starter import make_starter


def answers(count: int, gained: int = 0, lost: int = 0) -> Unlearnt:
    """Decisions of which the candidate alone is right in ``gained``, the starter alone in ``lost``, both in the rest."""
    truth, mine, theirs = np.ones(count, np.int64), np.ones(count, np.int64), np.ones(count, np.int64)
    theirs[:gained] = 2
    mine[gained : gained + lost] = 2
    return Unlearnt(truth, mine, theirs)


@pytest.mark.parametrize(
    ("held", "crossed", "outcome", "said"),
    [
        (NONE, NONE, "undecided", "compared on 0 decisions that neither had learnt, which is too little: at least 20 "
         "more audits must be decided"),
        (answers(3, 3), answers(8, 8), "undecided", "compared on 11 decisions that neither had learnt, 8 of them "
         "cross-validated, which is too little: at least 9 more audits"),
        (NONE, answers(40, 6, 1), "passed", "compared on 40 decisions that neither had learnt, cross-validated"),
        (answers(20, 6, 1), answers(20), "passed", "neither had learnt, 20 of them cross-validated"),
        (answers(200, 20, 4), NONE, "passed", "compared on 200 decisions that neither had learnt"),
        (answers(40, 1, 9), NONE, "refused", "accuracy -20.00 points against the starter"),
        (answers(40, 2, 4), NONE, "undecided", "more like these would hardly show it; a person decides"),
    ],
)  # fmt: skip
def test_only_a_candidate_that_is_shown_to_be_no_worse_passes(
    held: Unlearnt, crossed: Unlearnt, outcome: str, said: str
) -> None:
    found = against_starter(held, crossed, 3, 0.005)
    assert found.outcome == outcome
    assert said in found.sentence
    assert (found.figures.documents, found.figures.cross_validated) == (
        len(held.truth) + len(crossed.truth), len(crossed.truth),
    )  # fmt: skip


def test_as_many_more_as_it_names_would_show_it() -> None:
    found = against_starter(answers(40, 2), NONE, 3, 0.005)
    missing = found.figures.missing
    assert found.outcome == "undecided" and missing is not None
    assert f"about {missing:,} more audits could show it" in found.sentence
    size = 40 + missing
    assert paired_interval(2 * size // 40, 0, size)[0] >= -0.005
    assert paired_interval(2 * (size - 1) // 40, 0, size - 1)[0] < -0.005


def test_no_number_is_promised_by_few_documents() -> None:
    for count, point in itertools.product(range(20), (-0.5, 0.0, 0.5)):
        low, _ = paired_interval(round(count * max(point, 0)), round(count * max(-point, 0)), count)
        assert missing_documents(low, point, count, 0.005) == 20 - count


def test_a_starter_that_accepts_nothing_is_replaced_without_a_test_document() -> None:
    none = np.empty(0, np.int64)
    compared = against_starter(NONE, answers(40, 6, 1), 3, 0.005)
    verdict = _instead_of_starter(Answers(0, none, 0.0, 0.0), none, {}, 0.005, compared)
    assert (verdict.outcome, verdict.against, verdict.better, verdict.cross_validated) == ("passed", 3, True, True)
    assert told(verdict) == f"Passed: shown to be better than the starter: {compared.sentence}."


@pytest.mark.parametrize(("promote", "asks", "live"), [(True, True, True), (False, True, False), (False, False, True)])
def test_cross_validated_evidence_replaces_a_starter_only_with_automatic_promotion(
    session: Session, promote: bool, asks: bool, live: bool
) -> None:
    common = {"checkpoint_uri": "x", "sha256": "0", "base_model": "b", "label_ids": [1]}
    starter = model_versions.create(session, starter=True, **common)
    model_versions.activate(session, starter.id, "starter")
    candidate = model_versions.create(session, **common)
    model_versions.settle(session, candidate.id, "passed", starter.id, promote=promote, actor="trainer", asks=asks)
    session.refresh(candidate)
    assert (candidate.status == "active") == live
    assert (model_versions.trained(session) is not None) == live


@pytest.mark.slow
def test_a_training_from_decisions_alone_is_cross_validated_against_the_starter(
    session: Session, settings: Settings, tiny_base: Path
) -> None:
    """Half of 60 decisions are audits: of those the gate judges by, some are held out and some cross-validated.

    Both answer all of these plain texts right, which shows no more than that little can be lost.
    """
    session.add_all(Label(name=name) for name in ("card", "cash", "transfer"))
    session.flush()
    ids = {label.name: label.id for label in session.scalars(select(Label))}
    ann = people.add(session, "ann", "reviewer", "test").id
    lines = [line.rpartition(",")[::2] for line in list(labelled_lines(60))[1:]]
    for i, (words, name) in enumerate(lines):
        session.execute(text("""
            WITH document AS (
              INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id)
              VALUES ('mail', :i, sha256(CAST(:words AS bytea)), :words, 'live', :i || '-1') RETURNING id
            ), waits AS (INSERT INTO unpredicted (document_id) SELECT id FROM document)
            INSERT INTO reviews (document_id, reviewer_id, action, label_id, reason, sampling_probability)
            SELECT id, :ann, 'correct', :label, :reason, :share FROM document
        """), {"i": str(i + 1), "words": words, "ann": ann, "label": ids[name],
               "reason": "audit" if i % 2 else "doubtful", "share": 0.2 if i % 2 else None})  # fmt: skip
    session.commit()
    settings = settings.model_copy(update={"gate_margin": 0.5})
    starter = make_starter(settings)
    run = training_runs.create(session, "test", {"epochs": 12, "learning_rate": 3e-3})
    session.commit()

    version_id = train(settings, run.id)

    session.expire_all()
    version = model_versions.get(session, version_id or 0)
    figures = VersionFigures.model_validate(version.metrics)
    compared = figures.gate.criteria[0]
    data = choose(labelled.labelled_documents(session))
    held, fair = len(data.held_out[held_out(data)]), sum(document.may_be_held_out for document in data.train)
    assert figures.gate.against == starter and held and fair
    assert (compared.figures.documents, compared.figures.cross_validated) == (held + fair, fair)
    assert compared.outcome == "passed", compared.sentence
    assert version.status == "active" and figures.threshold == 2  # it accepts nothing yet
    assert f"{fair} of them cross-validated" in figures.gate.reason
    assert not [each for each in shortcomings(figures, version.status) if "about 1 more" in each.said + each.do]
