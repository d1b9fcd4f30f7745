"""From labelled documents to a model version, with a tiny real encoder."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from labelled_lines import labelled_lines
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from classifier.checkpoint_folder import read_checkpoint
from classifier.classifier import load_classifier
from db.models import AuditEvent, Document, ModelVersion, Snapshot, TrainingRun
from db.queries import model_versions, training_runs
from db.queries.labelled import labelled_documents
from sortline.errors import CheckpointError, ConflictError, SortlineError
from sortline.settings import Settings
from trainer import lease as lease_module
from trainer.data.import_file import ImportReport
from trainer.data.snapshot import read_snapshot
from trainer.data.training_data import select as choose
from trainer.run import train
from web.model_versions.report import documents_of, filled, read_report

Import = Callable[..., ImportReport]
TrainNow = Callable[..., int]


def go_live(session: Session, version_id: int) -> int:
    """Let a version be the active one, whatever the gate said."""
    if model_versions.get(session, version_id).status != "active":
        model_versions.activate(session, version_id, "me", forced_because="a test needs it")
        session.commit()
    return version_id


def test_a_first_model_learns_is_measured_sealed_and_goes_live(
    session: Session, settings: Settings, import_lines: Import, train_now: TrainNow
) -> None:
    import_lines(labelled_lines(240))

    version_id = train_now(epochs=20, learning_rate=3e-3)

    version = model_versions.get(session, version_id)
    run = session.scalars(select(TrainingRun)).one()
    assert version.status == "active"
    assert (run.state, run.model_version_id, run.error) == ("done", version_id, None)
    assert run.finished_at is not None
    stored = read_checkpoint(Path(version.checkpoint_uri), version.sha256)
    assert stored.description.labels == ["card", "cash", "transfer"]
    assert stored.description.label_ids == version.label_ids
    metrics = version.metrics
    assert metrics["snapshot"]["leaks"] == 0
    assert metrics["test"]["documents"] == metrics["snapshot"]["test"] > 0
    assert metrics["test"]["accuracy"] > 0.6
    assert set(metrics["test"]["per_label"]) == {"card", "cash", "transfer"}
    serving = stored.description.calibration(metrics["engine"])
    assert (serving.temperature, serving.threshold) == (metrics["temperature"], metrics["threshold"])
    assert serving.threshold == 2.0  # so few documents prove nothing, and nothing is accepted without proof
    assert (metrics["guarantee"]["proved"], metrics["guarantee"]["missing"] > 0) == (False, True)
    targets = [each["guarantee"]["risk_target"] for each in metrics["offers"]]
    assert targets == [0.005, 0.01, 0.02, 0.05, 0.1]  # to choose from, without another training
    assert metrics["offers"][1]["guarantee"] == metrics["guarantee"]
    assert [epoch["epoch"] for epoch in metrics["learning"]["epochs"]] == list(range(1, 21))
    assert {"ms_per_document", "ms_single_p50"} <= metrics["latency"].keys()
    assert (metrics["readability"]["over"], metrics["readability"]["poor"]) == (0, False)
    report = Path(metrics["report"])
    assert {path.name for path in report.iterdir()} == {"report.html", "texts.js"}
    shown, listed = read_report(version), documents_of(read_report(version))
    assert set(listed) <= set(session.scalars(select(Document.id)))
    assert ("<script" in shown, "<script" in filled(shown, {})) == (True, False)
    assert (
        filled(shown, dict.fromkeys(listed, "A TEXT")).count("A TEXT")
        == len(listed)
        == shown.count("<li data-document")
    )
    assert "# Text classification with 3 labels" in (stored.folder / "README.md").read_text()
    assert not (settings.data_dir / "trainer" / f"run-{run.id}").exists()
    for engine in ("torch", "openvino"):
        chosen = settings.model_copy(update={"engine": engine})
        probabilities = load_classifier(version.checkpoint_uri, version.sha256, chosen).predict_proba(
            ["where is my card? please help, the card has not arrived"]
        )
        assert probabilities.shape == (1, 3)
        assert probabilities.argmax() == 0
    assert metrics["fit"]["made"]
    assert "fit.safetensors" in stored.description.files
    serving = load_classifier(version.checkpoint_uri, version.sha256, settings)
    fit = serving.fit(serving.outputs(["where is my card? please help, the card has not arrived", "zzzz"]))
    assert fit[0] > fit[1]


def test_the_snapshot_names_what_was_trained_on_without_texts(
    session: Session, import_lines: Import, train_now: TrainNow
) -> None:
    import_lines(labelled_lines(60))

    version_id = train_now(epochs=1)

    run = session.scalars(select(TrainingRun).where(TrainingRun.model_version_id == version_id)).one()
    snapshot = session.get_one(Snapshot, run.snapshot_id)
    raw = Path(snapshot.uri).read_bytes()
    assert sha256(raw).hexdigest() == snapshot.sha256
    rows = pyarrow.parquet.read_table(snapshot.uri).to_pylist()
    documents = {document.id: document for document in labelled_documents(session)}
    assert {row["document_id"]: row["split"] for row in rows} == {i: d.split for i, d in documents.items()}
    assert all(row["content_hash"] == documents[row["document_id"]].content_hash for row in rows)
    assert all(row["label_id"] == documents[row["document_id"]].label_id for row in rows)
    assert b"machine" not in raw


def test_what_six_test_documents_can_not_show_stays_a_candidate(
    session: Session, import_lines: Import, train_now: TrainNow
) -> None:
    import_lines(labelled_lines(60))
    first = go_live(session, train_now(epochs=20, learning_rate=3e-3))

    second = train_now(epochs=20, learning_rate=3e-3, seed=16)

    versions = {version.id: version for version in model_versions.listing(session)}
    assert (versions[first].status, versions[second].status) == ("active", "candidate")
    assert versions[second].parent_id == first
    assert versions[second].sha256 != versions[first].sha256
    gate = versions[second].metrics["gate"]
    assert (gate["outcome"], gate["against"]) == ("undecided", first)
    assert "a person decides" in gate["reason"]


def test_a_better_model_goes_live_and_a_worse_one_only_by_force(
    session: Session, import_lines: Import, train_now: TrainNow
) -> None:
    import_lines(labelled_lines(240))
    poor = train_now(epochs=1, learning_rate=1e-5)
    refused = model_versions.get(session, poor)
    assert (refused.status, "TF-IDF" in refused.metrics["gate"]["reason"]) == ("rejected", True)
    go_live(session, poor)

    good = train_now(epochs=20, learning_rate=3e-3)

    versions = {version.id: version for version in model_versions.listing(session)}
    assert (versions[poor].status, versions[good].status) == ("retired", "active")
    gate = versions[good].metrics["gate"]
    assert (gate["outcome"], gate["better"], gate["against"]) == ("passed", True, poor)
    assert len(gate["flips"]["gained"]) > len(gate["flips"]["lost"])
    baselines = versions[good].metrics["baselines"]
    assert 0.2 < baselines["majority"] < 0.6 < baselines["tfidf"]

    worse = train_now(epochs=1, learning_rate=1e-5, seed=15)

    version = model_versions.get(session, worse)
    assert version.status == "rejected"
    assert "accuracy" in version.metrics["gate"]["reason"]
    with pytest.raises(ConflictError, match=r"the gate refused model version \d+: accuracy"):
        model_versions.activate(session, worse, "me")
    model_versions.activate(session, worse, "me", forced_because="a drill")
    session.commit()
    audit = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
    assert audit is not None
    assert audit.detail == {"before": good, "forced_because": "a drill"}
    assert model_versions.rollback(session, "me").id == good


def test_a_fifth_of_the_labels_shuffled_makes_a_candidate_that_the_gate_refuses(
    session: Session, import_lines: Import, train_now: TrainNow
) -> None:
    lines = labelled_lines(900)
    import_lines(lines[:301], split="train")
    import_lines([lines[0], *lines[301:]], "test.csv", split="test")
    good = train_now(epochs=20, learning_rate=3e-3)
    assert model_versions.get(session, good).status == "active"
    wrong = {"card": "cash", "cash": "transfer", "transfer": "card"}
    shuffled = [line.rpartition(",") for line in lines[1:61]]
    import_lines([lines[0], *(f"{text},{wrong[label]}" for text, _, label in shuffled)], "shuffled.csv", split="train")

    worse = model_versions.get(session, train_now(epochs=20, learning_rate=3e-3))

    gate = worse.metrics["gate"]
    assert (worse.status, gate["outcome"]) == ("rejected", "refused")
    failed = [each["name"] for each in gate["criteria"] if each["outcome"] == "refused"]
    assert failed  # what wrong labels spoil most: its accuracy, or what its confidence is worth
    assert all(each["sentence"] in gate["reason"] for each in gate["criteria"] if each["name"] in failed)
    assert model_versions.get(session, good).status == "active"


def test_an_active_version_that_can_not_be_loaded_asks_a_person(
    session: Session, import_lines: Import, train_now: TrainNow
) -> None:
    import_lines(labelled_lines(60))
    first = model_versions.get(session, go_live(session, train_now(epochs=1)))
    (Path(first.checkpoint_uri) / "model.safetensors").unlink()

    second = model_versions.get(session, train_now(epochs=1))

    assert second.status == "candidate"
    assert "can't be loaded" in second.metrics["gate"]["reason"]


def test_nothing_goes_live_by_itself_where_that_is_switched_off(
    session: Session, settings: Settings, import_lines: Import, train_now: TrainNow
) -> None:
    import_lines(labelled_lines(240))
    go_live(session, train_now(epochs=1, learning_rate=1e-5))
    run = training_runs.create(session, "test", {"epochs": 20, "learning_rate": 3e-3})
    session.commit()

    good = train(settings.model_copy(update={"auto_promote": False}), run.id)

    session.expire_all()
    assert good is not None
    version = model_versions.get(session, good)
    assert (version.status, version.metrics["gate"]["outcome"]) == ("candidate", "passed"), version.metrics["gate"]


def test_the_same_seed_gives_the_same_weights(session: Session, import_lines: Import, train_now: TrainNow) -> None:
    import_lines(labelled_lines(60))

    first, second = (model_versions.get(session, train_now(epochs=1)) for _ in range(2))

    files = [read_checkpoint(Path(version.checkpoint_uri)).description.files for version in (first, second)]
    assert files[0]["model.safetensors"] == files[1]["model.safetensors"]


def test_forced_training_files_lend_a_twentieth_for_validation(session: Session, import_lines: Import) -> None:
    lines = labelled_lines(300)
    import_lines(lines[:241], split="train")
    import_lines([lines[0], *lines[241:]], "b.csv", split="test")

    counts = choose(labelled_documents(session)).counts

    assert counts.borrowed == ["validation"]
    assert 0 < counts.validation < 30
    assert counts.train + counts.validation == 240
    assert counts.test == 60


def test_training_texts_that_repeat_test_ones_are_left_out_whichever_came_first(
    session: Session, import_lines: Import
) -> None:
    lines = labelled_lines(60)
    import_lines(lines, split="train")
    import_lines(["text,label", *(line.replace("please help", "please do help") for line in lines[1:7])], split="test")

    left_out = choose(labelled_documents(session)).counts
    kept = choose(labelled_documents(session), keep_near_duplicates=True).counts

    assert (left_out.left_out, left_out.leaks) == (2, 0)  # the two of them that ask for help
    assert (kept.left_out, kept.leaks) == (0, 2)


def test_the_cleaning_is_stored_and_used_again(
    session: Session, settings: Settings, import_lines: Import, train_now: TrainNow
) -> None:
    import_lines(labelled_lines(60))

    version = model_versions.get(session, train_now(epochs=1, cleaning={"mask_emails": True, "stop_words": ["the"]}))

    classifier = load_classifier(version.checkpoint_uri, version.sha256, settings)
    assert classifier.checkpoint.cleaning.mask_emails
    assert classifier.checkpoint.cleaning("ask the a@b.example") == "ask EMAIL"


def test_texts_longer_than_the_model_are_trained_on_their_first_window(
    session: Session, settings: Settings, import_lines: Import, train_now: TrainNow
) -> None:
    import_lines([line.replace(" is ", " is where" * 80 + " ") for line in labelled_lines(60)])

    version = model_versions.get(session, train_now(epochs=1, max_length=4096))

    classifier = load_classifier(version.checkpoint_uri, version.sha256, settings)
    assert classifier.checkpoint.max_length == 128
    assert len(classifier.prepare(["card " * 300])[0].windows) > 2


def bad_tokenizer(folder: Path, base: Path) -> Path:
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(base / name)
    return folder


BAD_DATA = [
    ([], {}, "there are no labelled documents to train on"),
    (["text,label", "a card,card", "the card,card"], {}, "all labelled documents have the same label, 'card'"),
    ([*labelled_lines(30), "hello,odd", "bye,even"], {}, "labels with only one example: 'even', 'odd'"),
    (labelled_lines(30), {"epochs": -1}, "training parameter epochs"),
    (labelled_lines(30), {"epoch": 1}, "training parameter epoch"),
    (labelled_lines(30), {"cleaning": {"stem": True}}, "unknown cleaning settings: stem"),
    (labelled_lines(30), {"base_model": "/no/such/folder"}, "there is no such folder"),
    (
        labelled_lines(30),
        {"learning_rate": 0.99, "epochs": 50, "head_factor": 1000, "weight_decay": 10},
        "the training diverged",
    ),
]


@pytest.mark.parametrize(("lines", "parameters", "message"), BAD_DATA)
def test_what_can_not_be_trained_ends_failed_with_one_sentence(
    session: Session,
    import_lines: Import,
    train_now: TrainNow,
    lines: list[str],
    parameters: dict[str, Any],
    message: str,
) -> None:
    if lines:
        import_lines(lines, split="train")

    with pytest.raises(SortlineError) as raised:
        train_now(**parameters)

    run = session.scalars(select(TrainingRun)).one()
    assert (run.state, run.error) == ("failed", str(raised.value))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert session.scalars(select(ModelVersion)).all() == []


def test_rare_labels_are_dropped_on_request_and_named(session: Session, import_lines: Import) -> None:
    import_lines([*labelled_lines(60), "hello,odd"], split="train")

    data = choose(labelled_documents(session), drop_rare_labels=True)

    assert data.counts.dropped_labels == ["odd"]
    assert len(data.labels) == 3


def test_a_base_model_without_tokenizer_is_refused(
    import_lines: Import, train_now: TrainNow, tiny_base: Path, tmp_path: Path
) -> None:
    import_lines(labelled_lines(30))

    with pytest.raises(CheckpointError, match="has no tokenizer"):
        train_now(base_model=str(bad_tokenizer(tmp_path / "bare", tiny_base)))


def test_a_base_model_with_its_vocabulary_alone_gets_a_fast_tokenizer(
    session: Session, settings: Settings, import_lines: Import, train_now: TrainNow, tiny_base: Path, tmp_path: Path
) -> None:
    import_lines(labelled_lines(30))
    folder = bad_tokenizer(tmp_path / "old", tiny_base)
    vocabulary = json.loads((tiny_base / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)))

    version = model_versions.get(session, train_now(epochs=1, base_model=str(folder)))

    new, old = (
        load_classifier(version.checkpoint_uri, version.sha256, settings).prepare(["where is my card, please?"]),
        model_versions.get(session, train_now(epochs=1)),
    )
    assert new == load_classifier(old.checkpoint_uri, old.sha256, settings).prepare(["where is my card, please?"])


def test_two_runs_at_once_are_refused_and_a_run_is_carried_out_once(
    session: Session, settings: Settings, import_lines: Import
) -> None:
    import_lines(labelled_lines(30))
    run = training_runs.create(session, "test", {"epochs": 1})
    session.commit()

    with pytest.raises(ConflictError, match=f"training run {run.id} is waiting"):
        training_runs.create(session, "test", {})

    assert train(settings, run.id) is not None
    assert train(settings, run.id) is None


def test_a_cancelled_run_stops_and_leaves_nothing(
    session: Session, settings: Settings, import_lines: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_lines(labelled_lines(60))
    monkeypatch.setattr(lease_module, "BEAT_EVERY_S", 0.02)
    run = training_runs.create(session, "test", {"epochs": 100})
    session.commit()

    def cancel(progress: dict[str, Any]) -> None:
        if progress.get("step") == 1 and "of" not in progress:
            training_runs.cancel(session, run.id, "me")
            session.commit()

    with pytest.raises(ConflictError, match="was cancelled"):
        train(settings, run.id, cancel)

    session.refresh(run)
    assert (run.state, run.error) == ("cancelled", "cancelled by me")
    assert session.scalars(select(ModelVersion)).all() == []
    assert not (settings.data_dir / "trainer" / f"run-{run.id}").exists()
    assert not list((settings.data_dir / "models").glob("run-*"))


def test_a_run_whose_process_died_goes_on_where_it_was_with_the_same_documents(
    session: Session, settings: Settings, import_lines: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_lines(labelled_lines(60))
    monkeypatch.setattr(lease_module, "BEAT_EVERY_S", 0.02)
    settings = settings.model_copy(update={"training_checkpoint_s": 0.0})
    run = training_runs.create(session, "test", {"epochs": 100, "patience": 100})
    session.commit()

    def lose(progress: dict[str, Any]) -> None:
        if progress.get("step", 0) > 3:
            training_runs.expire(session, 0.0, attempts=3)
            session.commit()

    with pytest.raises(ConflictError, match="no longer belongs to this process"):
        train(settings, run.id, lose)
    session.refresh(run)
    assert (run.state, run.attempts, run.error) == ("waiting", 1, None)
    frozen = run.snapshot_id
    import_lines(labelled_lines(90), "later.csv")

    version_id = train(settings, run.id)

    session.refresh(run)
    assert version_id is not None
    assert (run.state, run.attempts, run.snapshot_id) == ("done", 2, frozen)
    metrics = model_versions.get(session, version_id).metrics
    assert metrics["learning"]["resumed_from"] > 0
    assert sum(metrics["snapshot"][part] for part in ("train", "validation", "calibration", "test")) == 60
    assert session.scalar(select(func.count()).select_from(Snapshot)) == 1


def test_a_run_that_loses_its_process_again_and_again_fails(session: Session) -> None:
    run = training_runs.create(session, "test", {})
    for attempt in (1, 2):
        assert training_runs.claim(session, run.id) is not None
        session.commit()
        assert [each.id for each in training_runs.expire(session, 0.0, attempts=2)] == [run.id]
        session.commit()
        session.refresh(run)
        assert run.state == ("waiting" if attempt == 1 else "failed")
    assert run.error == "its process died 2 times, last while starting"


def test_progress_reaches_the_row(
    session: Session, settings: Settings, import_lines: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_lines(labelled_lines(60))
    monkeypatch.setattr(lease_module, "BEAT_EVERY_S", 0.01)
    told: list[dict[str, Any]] = []
    run = training_runs.create(session, "test", {"epochs": 20})
    session.commit()

    train(settings, run.id, told.append)

    session.refresh(run)
    assert run.progress in told
    assert run.heartbeat_at is not None
    steps = [progress for progress in told if "step" in progress]
    assert steps[-1]["step"] == steps[-1]["steps"]
    assert {"loss", "left_s"} <= steps[-1].keys()
    assert (steps[-1]["epoch"], steps[-1]["epochs"]) == (20, 20)
    found = read_snapshot(session, session.scalars(select(Snapshot)).one())
    counted = [progress for progress in told if "of" in progress]
    assert all(0 <= each["done"] <= each["of"] for each in counted)
    answered = [each for each in counted if each["stage"].startswith("answering")]
    assert answered[-1]["done"] == len(found.held_out) + len(found.train)
    crossed = [each["done"] for each in counted if each["stage"].startswith("cross-validating")]
    assert crossed == sorted(crossed)
    assert len(crossed) == 6
    assert crossed[-1] == len(found.train)
    stages = dict.fromkeys(progress["stage"] for progress in told if not progress["stage"].startswith("validating"))
    assert list(stages) == [
        "looking for the base model",
        "reading labelled documents",
        "looking for near-duplicates",
        "checking the base model",
        "writing the snapshot",
        "tokenising",
        "starting the fine-tuning: 20 epochs of 2 steps",
        "fine-tuning",
        "writing the model",
        "preparing the model for this machine's engine",
        "answering held-out documents and a sample of the others",
        "fitting simple classifiers to compare with",
        "cross-validating training documents",
        "fitting confidences and thresholds",
        "looking for label errors",
        "comparing with the active version",
        "writing the checkpoint and its report",
    ]
