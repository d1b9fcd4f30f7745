"""Documents that no label fits: they prove, calibrate and test like others, and train nothing."""

import json
import random
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import pytest
from labelled_lines import labelled_lines
from sqlalchemy import select as chosen
from sqlalchemy import text
from sqlalchemy.orm import Session

from classifier.decision import FOREIGN
from classifier.figures import VersionFigures
from db.models import Document, Label, Review, Snapshot, SnapshotReview, TrainingRun
from db.queries import labels as label_queries
from db.queries import model_versions, people
from db.queries.labelled import Labelled, labelled_documents
from sortline.errors import ImportFileError, TrainingError
from sortline.settings import Settings
from trainer.data.import_file import ImportReport
from trainer.data.snapshot import read_snapshot, store_snapshot
from trainer.data.split import assign_new
from trainer.data.training_data import label_indices, select
from trainer.evaluation.cross_validation import Unseen
from trainer.evaluation.label_errors import find_label_errors
from trainer.evaluation.metrics import detection, evaluate

Import = Callable[..., ImportReport]
TrainNow = Callable[..., int]
NONE = "something else"


def words(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join("".join(draw.choices(ascii_lowercase, k=7)) for _ in range(6)) for _ in range(count)]


def document(id_: int, said: str, label_id: int | None, split: str, origin: str = "import") -> Labelled:
    name = "" if label_id is None else f"label {label_id}"
    return Labelled(id_, said, sha256(said.encode()).digest(), label_id, name, origin != "review", id_, split, origin)


def documents(count: int, split: str, label_ids: Sequence[int | None] = (1, 2), first: int = 1) -> list[Labelled]:
    found = enumerate(words(count, first), start=first)
    return [document(i, said, label_ids[i % len(label_ids)], split) for i, said in found]


def foreign_lines(count: int, seed: int = 5) -> list[str]:
    return [f"{said},{NONE}" for said in words(count, seed)]


def test_none_fits_is_a_decision_like_others(session: Session, import_lines: Import) -> None:
    import_lines(["text,label", "where is my card,card", *foreign_lines(2)], none_label=NONE)
    found = {each.text: each for each in labelled_documents(session)}

    none = [each for each in found.values() if each.label_id is None]

    assert session.scalars(chosen(Label.name)).all() == ["card"]
    assert [(each.label, each.origin, each.may_be_held_out, bool(each.split)) for each in none] == [
        ("", "import", True, True)
    ] * 2
    assert found["where is my card"].label == "card"
    assert {row.action for row in session.scalars(chosen(Review)) if row.label_id is None} == {"none_fits"}


def test_the_majority_may_say_that_none_fits(session: Session, import_lines: Import) -> None:
    import_lines(["text,label", "where is my card,card", "the cash machine ate it,cash"])
    one = session.scalars(chosen(Document.id).order_by(Document.id)).first()
    for name in ("ann", "bob"):
        people.add(session, name, "reviewer", "tests")
        reviewer = people.by_name(session, name).id
        session.add(Review(document_id=one, reviewer_id=reviewer, action="none_fits", reason="audit"))
        session.flush()

    found = {each.id: each for each in labelled_documents(session)}

    assert (found[one].label_id, found[one].conflict, found[one].origin) == (None, True, "audit")


def test_imported_again_it_adds_nothing_and_a_label_replaces_it(session: Session, import_lines: Import) -> None:
    lines = ["text,label", "where is my card,card", *foreign_lines(3)]
    first = import_lines(lines, none_label=NONE)
    again = import_lines(lines, none_label=NONE)
    changed = import_lines(lines)

    assert (first.reviews, first.none_fits, again.reviews, changed.reviews) == (4, 3, 0, 3)
    assert {each.label for each in labelled_documents(session)} == {"card", NONE}


def test_a_name_that_no_row_has_is_refused(import_lines: Import) -> None:
    with pytest.raises(ImportFileError, match="no row has the label 'nothing', which is to say that no label fits"):
        import_lines(["text,label", "where is my card,card"], none_label="nothing")


def test_the_command_line_takes_the_name(sortline, session: Session, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "in.csv"
    path.write_text("\n".join(["text,label", "where is my card,card", *foreign_lines(3)]) + "\n")

    looked = sortline("import", str(path), "--none-label", NONE, "--dry-run").stdout
    done = json.loads(sortline("import", str(path), "--none-label", NONE, "--json").stdout)

    assert "examples that no label fits: 3" in looked
    assert f"label {NONE}: 3 (none fits)" in looked
    assert (done["documents"], done["none_fits"]) == (4, 3)
    assert session.scalars(chosen(Label.name)).all() == ["card"]


def test_a_file_of_nothing_else_is_imported(session: Session, import_lines: Import) -> None:
    report = import_lines(["text,label", *foreign_lines(30)], none_label=NONE)

    assert (report.documents, report.none_fits, report.refused) == (30, 30, 0)
    assert session.scalars(chosen(Label)).all() == []


def test_held_out_they_are_judged_and_others_train_nothing() -> None:
    parts = ("validation", "calibration", "test")
    held = [each for at, part in enumerate(parts) for each in documents(10, part, (1, None), 1_000 * (at + 1))]
    data = select([*documents(40, "train"), *documents(8, "train", (None,), 9_000), *held])

    assert [len(getattr(data, part)) for part in parts] == [10, 10, 10]
    assert data.counts.foreign == data.counts.none_fits == {**dict.fromkeys(parts, 5), "foreign": 8}
    assert len(data.foreign) == 8
    assert all(each.label_id for each in data.train)
    assert label_indices(data.test, data.labels).tolist() == [0, FOREIGN] * 5
    assert len(data.known(data.test)) == 5


def test_held_out_documents_of_labels_that_wait_are_foreign_too() -> None:
    new = [*documents(3, "train", (3,), 500), *documents(4, "test", (3,), 600)]

    data = select([*documents(40, "train"), *documents(6, "test", (1, 2), 700), *new], known_labels={1, 2})

    assert data.counts.dropped_labels == ["label 3"]
    assert (data.counts.foreign["test"], data.counts.none_fits["test"], data.counts.foreign["foreign"]) == (4, 0, 3)
    assert (len(data.test), len(data.known(data.test))) == (10, 6)


def test_nobody_can_train_where_no_label_fits_anything() -> None:
    with pytest.raises(TrainingError, match="no label fits any of the 9 decided documents"):
        select(documents(9, "test", (None,)))
    with pytest.raises(TrainingError, match="there are no labelled documents"):
        select([])


def test_a_validation_of_foreign_documents_alone_borrows_known_ones() -> None:
    data = select([*documents(400, "train"), *documents(60, "validation", (None,), 5_000)])

    assert data.counts.borrowed == ["validation"]
    assert len(data.known(data.validation)) >= 10


def test_documents_of_an_archived_label_are_left_out(session: Session, import_lines: Import) -> None:
    import_lines([*labelled_lines(60), "an old kind of document,old", "another old kind of thing,old"])
    old = next(each.id for each in label_queries.listing(session) if each.name == "old")
    label_queries.set_archived(session, old, True, "tests")

    data = select(labelled_documents(session))

    assert [name for _, name in data.labels] == ["card", "cash", "transfer"]
    assert sum(data.counts.foreign.values()) == 0


def test_snapshots_and_lineage_name_them(session: Session, settings: Settings, import_lines: Import) -> None:
    import_lines([*labelled_lines(90), *foreign_lines(60)], none_label=NONE)
    data = select(labelled_documents(session))

    row = store_snapshot(session, data, settings.models, "none")
    again = read_snapshot(session, row)

    assert (again.test, again.foreign) == (
        [each._replace(review_ids=()) for each in data.test], [each._replace(review_ids=(), split="foreign") for each in data.foreign],
    )  # fmt: skip
    assert any(each.label_id is None for each in again.held_out)
    noted = set(session.scalars(chosen(SnapshotReview.review_id).where(SnapshotReview.snapshot_id == row.id)))
    assert {review for each in data.foreign for review in each.review_ids} <= noted


def test_they_count_among_the_accepted_errors_and_not_in_the_scores() -> None:
    draw = np.random.default_rng(3)
    probabilities = draw.dirichlet((0.3, 0.3, 0.3), 300).astype(np.float32)
    targets = np.where(draw.random(300) < 0.8, probabilities.argmax(axis=1), 0)
    accepted = probabilities.max(axis=1) > 0.8
    strangers = draw.dirichlet((0.5, 0.5, 0.5), 200).astype(np.float32)
    taken = strangers.max(axis=1) > 0.8

    known = evaluate(probabilities, targets, ["a", "b", "c"], accepted)
    both = evaluate(
        np.concatenate([probabilities, strangers]), np.concatenate([targets, np.full(200, FOREIGN)]), ["a", "b", "c"],
        np.concatenate([accepted, taken]),
    )  # fmt: skip

    for name in ("documents", "accuracy", "macro_f1", "weighted_f1", "brier", "nll"):
        assert getattr(both, name) == pytest.approx(getattr(known, name)), name
    assert (both.per_label, both.confusions, both.intervals.accuracy) == (
        known.per_label,
        known.confusions,
        known.intervals.accuracy,
    )
    wrong = int((accepted & (probabilities.argmax(axis=1) != targets)).sum() + taken.sum())
    assert both.risk == pytest.approx(wrong / (accepted.sum() + taken.sum()))
    assert both.coverage == pytest.approx((accepted.sum() + taken.sum()) / 500)
    assert both.risk_coverage.risk[-1] == pytest.approx(1 - (probabilities.argmax(axis=1) == targets).sum() / 500)
    assert both.ece is not None and known.ece is not None and both.ece > known.ece
    assert (both.detection.foreign, both.detection.known, both.detection.accepted) == (200, 300, taken.sum())
    assert not known.detection


def test_the_detector_is_measured_as_sklearn_does() -> None:
    from sklearn.metrics import roc_auc_score

    draw = np.random.default_rng(4)
    confidence = np.round(draw.random(400), 2).astype(np.float32)  # with ties
    known = draw.random(400) < 0.3 + confidence / 2

    found = detection(confidence, known, confidence > 0.9)

    assert found.auroc == pytest.approx(roc_auc_score(known, confidence))
    assert found.share == pytest.approx((confidence > 0.9)[~known].mean())
    assert detection(confidence, np.zeros(400, np.bool_), confidence > 0.9).auroc is None


def test_of_foreign_documents_alone_only_their_number_is_known() -> None:
    found = evaluate(np.full((4, 2), 0.5, np.float32), np.full(4, FOREIGN), ["a", "b"], np.zeros(4, np.bool_))

    assert (found.documents, found.accuracy, found.detection.foreign) == (0, None, 4)


def test_a_held_out_none_is_no_label_error() -> None:
    known, foreign = documents(40, "test"), documents(20, "test", (None,), 500)
    sure = np.array([[0.99, 0.01] if each.label_id == 1 else [0.01, 0.99] for each in [*known, *foreign]], np.float32)

    assert find_label_errors([(1, "label 1"), (2, "label 2")], [Unseen([*known, *foreign], sure)]) == []


@pytest.mark.slow
def test_with_40_percent_foreign_traffic_the_known_documents_are_answered_the_same(
    session: Session, import_lines: Import, train_now: TrainNow
) -> None:
    import_lines(labelled_lines(240))
    before = measured(session, train_now(epochs=8, learning_rate=3e-3))
    import_lines(["text,label", *foreign_lines(160)], none_label=NONE, name="foreign.csv")

    after = measured(session, train_now(epochs=8, learning_rate=3e-3))

    assert after.test.documents == before.test.documents
    assert (after.test.accuracy, after.test.macro_f1) == (before.test.accuracy, before.test.macro_f1)
    assert after.test.per_label.keys() == before.test.per_label.keys() == {"card", "cash", "transfer"}
    assert after.snapshot.foreign["test"] == after.test.detection.foreign > 8
    assert after.test.detection.auroc is not None
    assert (before.fit.made, before.fit.calibrated, before.fit.foreign) == (True, False, 0)
    unused, validated = (after.snapshot.foreign[part] for part in ("foreign", "validation"))
    assert after.fit.made and after.fit.foreign == unused + validated > 20
    assert after.test.detection.auroc_fit is not None
    assert "accepted errors" in [each.name for each in after.gate.criteria]


def measured(session: Session, version_id: int) -> VersionFigures:
    return VersionFigures.model_validate(model_versions.get(session, version_id).metrics)


def test_audits_that_all_say_none_fits_leave_the_training_as_it_was(
    session: Session, import_lines: Import, train_now: TrainNow
) -> None:
    """Imported for training alone, and every audit found a document that fits none."""
    import_lines(labelled_lines(90), split="train")
    import_lines(["text,label", *foreign_lines(40)], none_label=NONE, name="audits.csv")
    session.execute(text("UPDATE reviews SET reason = 'audit' WHERE label_id IS NULL"))
    session.commit()

    figures = measured(session, train_now(epochs=1))

    run = session.scalars(chosen(TrainingRun)).one()
    data = read_snapshot(session, session.get_one(Snapshot, run.snapshot_id))
    assert run.state == "done"
    assert data.known([*data.calibration, *data.test]) == []
    assert (figures.test.documents, figures.test.detection.foreign > 0) == (0, True)
    assert (figures.evidence.enough, figures.guarantee.proved, figures.threshold) == (False, False, 2.0)
    assert assign_new(session).assignments == []


def test_foreign_traffic_changes_nothing_of_the_accuracy_on_labels() -> None:
    draw = np.random.default_rng(3)
    targets = np.repeat([0, 1, 2], 40)
    probabilities = draw.dirichlet(np.ones(3), 200).astype(np.float32)
    mixed, accepted = np.append(targets, [FOREIGN] * 80), draw.random(200) < 0.5
    fit = np.where(mixed == FOREIGN, 0.1, 0.9).astype(np.float32)
    score = probabilities.max(axis=1) * fit

    alone = evaluate(probabilities[:120], targets, ["a", "b", "c"], accepted[:120])
    found = evaluate(probabilities, mixed, ["a", "b", "c"], accepted, None, score, fit)

    assert (found.documents, found.accuracy, found.macro_f1) == (120, alone.accuracy, alone.macro_f1)
    assert {each.support for each in found.per_label.values()} == {40}
    assert (found.detection.foreign, found.detection.auroc, found.detection.auroc_fit) == (80, 1.0, 1.0)
    assert 0.3 < (found.detection.auroc_confidence or 0) < 0.7
