"""Like this one: the page, its ticks, and what is decided of them."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import redis
from filled_queue import NAMES, add_document, add_labels
from like import WIDTH, add_vectors
from sqlalchemy import select
from sqlalchemy.orm import Session
from tiny_bert import build_tiny_checkpoint

from classifier.classifier import load_classifier
from db.models import QueueItem, Review
from db.queries import embeddings
from sortline.pasted import Pasted
from sortline.settings import Settings
from tests.web.conftest import Browser
from worker.active_model import LoadedModel
from worker.vector_task import vector_of

SignInAs = Callable[..., Browser]


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


@pytest.fixture
def alike(session: Session) -> list[int]:
    """Three documents, the first and the second alike."""
    ids = [add_document(session, said) for said in ("my card is late", "the card is late", "cash")]
    add_vectors(session, dict(zip(ids, ([1, 0.1], [1, 0], [0, 1]), strict=True)))
    return ids


def ticks(page: str) -> list[tuple[int, bool]]:
    found = re.findall(r'<input type="checkbox" name="tick-(\d+)"[^>]*?( checked)?>', page)
    return [(int(id_), bool(checked)) for id_, checked in found]


def test_a_lead_decides_the_ticked_ones_and_undoes_it(
    sign_in_as: SignInAs, session: Session, labels: list[int], alike: list[int]
) -> None:
    ann = sign_in_as("lead")
    assert f'href="/documents/{alike[0]}/like"' in ann.get(f"/documents/{alike[0]}").text
    page = ann.get(f"/documents/{alike[0]}/like").text
    assert ticks(page) == [(alike[1], True), (alike[2], True)]
    assert "100 % alike" in page
    assert "Untick all" in page
    assert ticks(ann.get(f"/documents/{alike[0]}/like?ticks=none").text) == [(alike[1], False), (alike[2], False)]
    assert session.scalars(select(Review)).all() == []

    preview = ann.send_form(f"/documents/{alike[0]}/like", **{f"tick-{alike[1]}": "on", "label": labels[2]})
    assert preview.status_code == 200
    assert "1 document</b> will be decided as" in preview.text
    assert f'<a href="/documents/{alike[0]}/like">The document that they are like</a>' in preview.text
    done = ann.send_form(f"{preview.url.path}/decide")
    assert "decided 1 document as" in done.text
    session.rollback()
    assert [(row.document_id, row.label_id, row.reason) for row in session.scalars(select(Review))] == [
        (alike[1], labels[2], "bulk")
    ]
    page = ann.get(f"/documents/{alike[0]}/like").text
    assert f'name="tick-{alike[1]}" aria-label="Decide document {alike[1]} with the others" disabled' in page
    assert NAMES[2] in page
    ann.send_form(f"{preview.url.path}/undo")
    session.rollback()
    assert sorted(session.scalars(select(QueueItem.document_id))) == alike


def test_reviewers_read_and_may_not_decide_together(sign_in_as: SignInAs, alike: list[int]) -> None:
    bob = sign_in_as("reviewer")
    page = bob.get(f"/documents/{alike[0]}/like").text
    assert "alike" in page
    assert ticks(page) == []
    assert bob.send_form(f"/documents/{alike[0]}/like", **{f"tick-{alike[1]}": "on"}).status_code == 403


def test_nothing_ticked_and_a_label_that_is_not_are_said(sign_in_as: SignInAs, alike: list[int]) -> None:
    ann = sign_in_as("lead")
    answer = ann.send_form(f"/documents/{alike[0]}/like", label="")
    assert (answer.status_code, "Tick at least one document" in answer.text) == (422, True)
    answer = ann.send_form(f"/documents/{alike[0]}/like", **{f"tick-{alike[1]}": "on", "label": "999"})
    assert (answer.status_code, "no such label" in answer.text) == (422, True)
    assert ann.get("/documents/999/like").status_code == 404


def test_an_audit_shows_a_reviewer_nothing_that_is_like_it(
    sign_in_as: SignInAs, session: Session, alike: list[int]
) -> None:
    audit = add_document(session, "card?", reason="audit", sampling_probability=0.1)
    add_vectors(session, {audit: [1, 0]})
    bob = sign_in_as("reviewer")
    page = bob.get(f"/documents/{audit}/like").text
    assert "waits for an independent decision" in page
    assert "alike" not in page
    assert f"/documents/{audit}/like" not in bob.get(f"/documents/{audit}").text
    assert f"/documents/{audit}" not in bob.get(f"/documents/{alike[0]}/like").text


def test_where_no_worker_answers_the_words_are_offered(
    sign_in_as: SignInAs, session: Session, alike: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.worker_vectors._WAIT_S", 0.1)
    bare = add_document(session, 'cash "machine" -ate my card')
    page = sign_in_as("reviewer").get(f"/documents/{bare}/like").text
    assert "No worker has answered" in page
    assert 'href="/documents?words=machine%20or%20card%20or%20cash%20or%20ate%20or%20my"' in page


def test_a_document_whose_vector_is_not_kept_is_compared_by_a_worker(
    sign_in_as: SignInAs, session: Session, settings: Settings, redis_client: redis.Redis, alike: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    bare = add_document(session, "the card came late", None)
    pasted, encoder = Pasted(redis_client, settings.prefix), embeddings.encoder_of_active(session)
    assert encoder is not None

    def work(_broker: object, task: str, token: str) -> None:
        assert (task, pasted.take(token)) == ("worker.vector", "the card came late")
        pasted.answer(token, {"encoder_id": encoder[0], "vector": np.eye(WIDTH)[0]})

    monkeypatch.setattr("web.worker_vectors.send_to_worker", work)
    ann = sign_in_as("lead")
    assert ticks(ann.get(f"/documents/{bare}/like").text)[0] == (alike[1], True)
    found = ann.get(f"/documents/{bare}/like").text
    assert "100 % alike" in found


def test_without_pgvector_the_page_says_what_is_compared(
    sign_in_as: SignInAs, session: Session, alike: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = sign_in_as("lead")
    assert "lacks pgvector" not in ann.get(f"/documents/{alike[0]}/like").text
    monkeypatch.setattr(embeddings, "has_pgvector", lambda _: False)
    page = ann.get(f"/documents/{alike[0]}/like").text
    assert "Only the newest 20,000 vectors are compared" in page
    assert ticks(page) == [(alike[1], True), (alike[2], True)]


def test_a_pasted_text_is_compared_by_a_worker_and_not_kept(
    sign_in_as: SignInAs, session: Session, settings: Settings, redis_client: redis.Redis, tmp_path: Path,
    labels: list[int], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    stored = build_tiny_checkpoint(tmp_path / "checkpoint", label_ids=labels)
    classifier = load_classifier(str(stored.folder), stored.sha256, settings)
    said = ["where is my card", "the cash machine", "transfer has not arrived"]
    ids = [add_document(session, each) for each in said]
    vectors = classifier.outputs(said).vectors
    encoder = embeddings.encoder_id(session, "tiny", "whole", vectors.shape[1])
    embeddings.store(session, encoder, ids, vectors, 1000)
    session.commit()
    pasted, model = Pasted(redis_client, settings.prefix), LoadedModel(1, "whole", classifier, encoder)

    def work(_broker: object, task: str, token: str) -> None:
        assert task == "worker.vector"
        text = pasted.take(token)
        assert text is not None
        pasted.answer(token, vector_of(text, model))

    monkeypatch.setattr("web.worker_vectors.send_to_worker", work)
    ann = sign_in_as("lead")
    assert 'href="/like"' in ann.get("/documents").text
    page = ann.send_form("/like", text=" the cash machine\n").text
    assert ticks(page)[0] == (ids[1], True)
    assert "100 % alike" in page
    assert list(redis_client.scan_iter(f"{settings.prefix}:pasted:*")) == []
    preview = ann.send_form("/like/decide", **{f"tick-{ids[1]}": "on", "label": labels[0]})
    assert '<a href="/like">Like a text</a>' in preview.text
    model = LoadedModel(1, "whole", classifier, None)
    answer = ann.send_form("/like", text="card")
    assert (answer.status_code, "gives no vectors" in answer.text, ">\ncard</textarea>" in answer.text) == (
        503,
        True,
        True,
    )


def test_a_pasted_text_without_a_worker_is_kept_in_the_form_alone(
    sign_in_as: SignInAs, settings: Settings, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.worker_vectors._WAIT_S", 1)
    bob = sign_in_as("reviewer")
    answer = bob.send_form("/like", text="my card")
    assert (answer.status_code, "No worker has answered within 1 s" in answer.text) == (503, True)
    assert "my card</textarea>" in answer.text
    assert list(redis_client.scan_iter(f"{settings.prefix}:pasted:*")) == []
    assert bob.send_form("/like", text=" ").status_code == 422
    long = "返" * 99_999
    assert bob.send_form("/like", text=long).status_code == 503
    answer = bob.send_form("/like", text=long + "\n去去")
    assert (answer.status_code, f"{long}\n去去</textarea>" in answer.text) == (422, True)
