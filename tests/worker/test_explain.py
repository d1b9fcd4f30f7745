"""What the web asks to have explained is explained by a real worker, once, or it is said why not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text as sql
from sqlalchemy.orm import Session
from tiny_bert import build_tiny_checkpoint

from classifier.head import Head, read_head
from classifier.store import model_store
from db.models import Explanation, ModelVersion
from db.queries import embeddings, explanations, heads, model_forms
from db.queries.explanations import Key
from sortline.settings import Settings
from web.worker_tasks import send_to_worker
from worker.explain_task import explain_document
from worker.explainer import ExplainerProcess

TEXTS = {"a": "where is my card", "b": "the cash machine ate it", "c": "please help <b>card</b>"}


@pytest.fixture
def worker_settings(settings: Settings, copies: None) -> Settings:
    """A real tiny encoder on torch: it needs no conversion."""
    return settings.model_copy(update={"engine": "torch", "device": "cpu", "watch_interval_s": 0.2})


def explainer(settings: Settings) -> ExplainerProcess:
    return ExplainerProcess(model_store(settings), settings.threads, settings.explain_keep_s)


def add_document(session: Session, text: str) -> int:
    id_ = session.scalar(
        sql("""INSERT INTO documents (source, external_id, content_hash, text, lane)
               VALUES ('tests', :text, '', :text, 'live') RETURNING id"""), {"text": text},
    )  # fmt: skip
    session.commit()
    return int(id_ or 0)


def state(session: Session, key: Key) -> explanations.State:
    session.rollback()
    found = explanations.get(session, key)
    assert found is not None
    return found


def ask(session: Session, key: Key, again_s: float = 15, lost_s: float = 90) -> bool:
    told = explanations.ask(session, key, again_s, lost_s)
    session.commit()
    return told


def test_a_worker_explains_what_was_asked_for_once(
    line, start_worker, eventually: Callable[..., None], session: Session, settings: Settings, version: ModelVersion
) -> None:
    worker = start_worker()
    line.send(TEXTS)
    eventually(lambda: line.predicted() == len(TEXTS), 60)
    document_id, label_id = session.execute(sql("SELECT document_id, label_id FROM predictions LIMIT 1")).one()
    key = Key(document_id, version.id, label_id, "whole")
    assert ask(session, key)
    assert not ask(session, key)  # a second click
    send_to_worker(settings.broker, "worker.explain", *key)
    send_to_worker(settings.broker, "worker.explain", *key)
    eventually(lambda: state(session, key).state == "done", 120)

    done = state(session, key)
    assert done.found is not None
    assert done.completeness_error is not None and done.completeness_error <= 0.05
    text = str(session.scalar(sql("SELECT text FROM documents WHERE id = :id"), {"id": document_id}))
    assert [text[first:last] for first, last, _ in done.found["words"]][:2] == text.split()[:2]
    finished = session.get_one(Explanation, key).finished_at
    assert not ask(session, key)
    send_to_worker(settings.broker, "worker.explain", *key)

    explanations.ask_sample(session, version.id, label_id, 50, 90)
    session.commit()
    send_to_worker(settings.broker, "worker.explain_waiting")
    wanted = line.count(f"SELECT count(*) FROM predictions WHERE label_id = {label_id}")
    eventually(lambda: explanations.counts(session, version.id, label_id) == {"done": wanted}, 120)
    assert len(explanations.of_label(session, version.id, label_id, 10, 100)) == wanted
    session.expire_all()
    assert session.get_one(Explanation, key).finished_at == finished
    children = [
        child for child in psutil.Process(worker.process.pid).children() if "explain_process" in str(child.cmdline())
    ]
    assert len(children) == 1
    worker.kill()
    eventually(lambda: not children[0].is_running() or children[0].status() == psutil.STATUS_ZOMBIE)


def test_what_goes_wrong_is_stored_and_can_be_asked_again(
    session: Session, settings: Settings, version: ModelVersion, eventually: Callable[..., None]
) -> None:
    process = explainer(settings)
    document_id = add_document(session, TEXTS["c"])
    unknown, gone = Key(document_id, version.id, 99, "whole"), Key(document_id, version.id, 12, "whole")
    ask(session, unknown)
    assert not explain_document(settings.postgres_url, process, unknown)
    assert state(session, unknown).error == "the model does not know label 99"

    assert process._process is not None
    process._process.kill()
    process._process.wait()
    ask(session, gone)
    assert explain_document(settings.postgres_url, process, gone)  # a process that died is replaced
    process.end()
    assert process._process is None

    shutil.rmtree(version.checkpoint_uri)
    again = Key(document_id, version.id, 11, "whole")
    ask(session, again)
    other = explainer(settings)
    assert not explain_document(settings.postgres_url, other, again)
    assert "there is no checkpoint at" in (state(session, again).error or "")
    assert not ask(session, again)
    assert ask(session, again, again_s=0)
    assert state(session, again).state == "waiting"


def test_each_form_is_explained_by_its_own_weights(
    session: Session, settings: Settings, version: ModelVersion, tmp_path: Path
) -> None:
    student = build_tiny_checkpoint(tmp_path / "student", seed=1)
    model_forms.add(session, version.id, "student", "proved", uri=str(student.folder), sha256=student.sha256)
    document_id = add_document(session, TEXTS["a"])
    whole, small = (Key(document_id, version.id, 11, form) for form in ("whole", "student"))
    process = explainer(settings)
    for key in (whole, small):
        ask(session, key)
        assert explain_document(settings.postgres_url, process, key)
    process.end()

    found = [(state(session, key).found or {})["words"] for key in (whole, small)]
    assert [each[:2] for each in found[0]] == [each[:2] for each in found[1]]
    assert found[0] != found[1]


def test_a_form_that_is_gone_is_not_explained_by_another(
    session: Session, settings: Settings, version: ModelVersion
) -> None:
    key = Key(add_document(session, TEXTS["a"]), version.id, 11, "student")
    ask(session, key)
    assert not explain_document(settings.postgres_url, explainer(settings), key)
    assert state(session, key).error == f"model version {version.id} no longer has its form student"


def test_a_revised_answer_is_explained_by_the_layer_that_gave_it(
    session: Session, settings: Settings, version: ModelVersion
) -> None:
    own = read_head(Path(version.checkpoint_uri), len(version.label_ids))
    turned = Head(own.weight[[1, 2, 0]], own.bias[[1, 2, 0]])  # its first label is what the checkpoint's second is
    encoder = embeddings.encoder_id(session, version.sha256, "whole", own.weight.shape[1])
    assert heads.add(session, version.id, encoder, turned.packed(), 1.0, None, {}) == 1
    document_id = add_document(session, TEXTS["a"])
    by_checkpoint, as_second, revised = (
        Key(document_id, version.id, label, "whole", revision) for label, revision in ((11, 0), (12, 0), (11, 1))
    )
    process = explainer(settings)
    for key in (revised, by_checkpoint, as_second):
        ask(session, key)
        assert explain_document(settings.postgres_url, process, key)
    process.end()

    found = [[each[2] for each in (state(session, key).found or {})["words"]] for key in (revised, as_second)]
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert state(session, revised).found != state(session, by_checkpoint).found


def test_a_revision_that_is_no_longer_kept_is_not_explained_by_another(
    session: Session, settings: Settings, version: ModelVersion
) -> None:
    key = Key(add_document(session, TEXTS["a"]), version.id, 11, "whole", 3)
    ask(session, key)
    assert not explain_document(settings.postgres_url, explainer(settings), key)
    assert state(session, key).error == f"revision 3 of model version {version.id} is no longer kept"


def test_a_document_that_is_erased_takes_its_explanations_along(
    session: Session, settings: Settings, version: ModelVersion
) -> None:
    key = Key(add_document(session, TEXTS["a"]), version.id, 11, "whole")
    ask(session, key)
    session.execute(sql("DELETE FROM documents"))
    session.commit()
    assert explanations.get(session, key) is None
    assert not explain_document(settings.postgres_url, explainer(settings), key)
    assert not ask(session, key)  # there is nothing to wait for


def test_what_a_lost_worker_took_is_asked_for_anew(session: Session, version: ModelVersion) -> None:
    key = Key(add_document(session, TEXTS["a"]), version.id, 11, "whole")
    ask(session, key)
    assert explanations.claim(session, key) is not None
    assert explanations.claim(session, key) is None
    session.commit()
    assert not ask(session, key)
    assert ask(session, key, lost_s=0)
    assert explanations.next_waiting(session) == key


def test_the_process_ends_when_nobody_asks(
    settings: Settings, version: ModelVersion, eventually: Callable[..., None]
) -> None:
    process = explainer(settings.model_copy(update={"explain_keep_s": 0.1}))
    found = process.explain(version.checkpoint_uri, version.sha256, TEXTS["a"], 11)
    assert len(found["words"]) == 4
    eventually(lambda: process._process is None)
