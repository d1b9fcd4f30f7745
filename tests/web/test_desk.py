"""The desk's routes: who may ask, what comes, what is refused, and in which words."""

import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from filled_queue import NAMES, add_document, add_labels, unlike
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import Review
from sortline.settings import Settings
from tests.web.conftest import serving


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


def ask(browser: httpx.Client, path: str, **body: object) -> httpx.Response:
    return browser.post(f"/desk/{path}", json=body, headers={"x-csrf-token": browser.csrf})


def test_only_who_is_signed_in_and_only_from_our_page(web: httpx.Client, sign_in_as, session: Session) -> None:
    assert web.get("/desk", headers={"accept": "text/html"}, follow_redirects=False).headers["location"] == (
        "/sign-in?next=/desk"
    )
    for path in ("next", "decisions", "undo", "renew"):
        assert web.post(f"/desk/{path}", json={}).status_code == 401
    ann = sign_in_as("reviewer")
    assert ann.post("/desk/next", json={}).status_code == 403
    wrong = {"x-csrf-token": ann.csrf, "origin": "https://elsewhere.example"}
    assert ann.post("/desk/next", json={}, headers=wrong).status_code == 403
    assert ask(ann, "next").status_code == 200


def test_the_page_may_load_nothing_from_elsewhere(sign_in_as) -> None:
    answer = sign_in_as("reviewer").get("/desk")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in answer.text.replace("http-equiv", "")


def test_what_comes_next_and_a_decision(sign_in_as, session: Session, labels: list[int]) -> None:
    add_document(session, f"<i>{unlike(1)}", name="one")
    ann = sign_in_as("reviewer")
    shown = ask(ann, "next").json()["html"]
    assert "&lt;i&gt;" in shown
    token = int(session.scalar(text("SELECT lease_token FROM queue_items")) or 0)
    decision = {"document_id": 1, "token": token, "action": "label", "label_id": labels[2], "seconds": 1.5}
    assert ask(ann, "decisions", **decision).json() == {
        "review_id": 1, "action": "correct", "label": NAMES[2], "again": False,
    }  # fmt: skip
    assert ask(ann, "decisions", **decision).json()["again"] is True
    late = ask(ann, "decisions", **decision | {"label_id": labels[1]})
    assert late.status_code == 409
    assert late.json()["detail"].startswith(f"reviewer decided {NAMES[2]} at ")
    assert session.scalars(select(Review)).one().seconds == 1.5
    assert ask(ann, "undo", review_id=1).json()["html"].count("<article") == 1
    again = ask(ann, "undo", review_id=1)  # its answer was lost
    assert (again.status_code, again.json()["html"].count("<article")) == (200, 1)
    assert [each.action for each in session.scalars(select(Review).order_by(Review.id))] == ["correct", "undo"]
    assert ask(ann, "undo", review_id=99).status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"action": "approve"}, {"label_id": None}, {"label_id": 10**12}, {"action": "skip"}, {"seconds": -1},
        {"note": "x" * 2001}, {"proposed_label": "x" * 201},
        {"proposed_label": "re\u200bfund"}, {"more": 1}, {"label_id": 999},
    ],
)  # fmt: skip
def test_a_bad_decision_is_refused_and_nothing_is_written(
    sign_in_as, session: Session, labels: list[int], change: dict[str, object]
) -> None:
    add_document(session, unlike(1))
    ann = sign_in_as("reviewer")
    ask(ann, "next")
    token = int(session.scalar(text("SELECT lease_token FROM queue_items")) or 0)
    decision = {"document_id": 1, "token": token, "action": "label", "label_id": labels[0]} | change
    answer = ask(ann, "decisions", **decision)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert session.scalars(select(Review)).all() == []
    assert "<article" in ask(ann, "next").json()["html"]


def test_hidden_predictions_are_not_in_the_page(sign_in_as, session: Session) -> None:
    add_document(session, unlike(1), reason="audit", sampling_probability=0.1)
    session.execute(text("UPDATE labels SET name = 'zebra' WHERE id = 1"))
    session.commit()
    shown = ask(sign_in_as("reviewer"), "next").json()["html"]
    assert "The prediction is hidden here" in shown
    assert re.findall('data-name="(.*?)"', shown) == [NAMES[1], NAMES[2], "zebra"]  # by name: the first was predicted
    assert "%" not in shown
    assert 'data-predicted="0"' in shown
    session.execute(text("INSERT INTO labels (name) SELECT 'label ' || i FROM generate_series(1, 10) i"))
    session.execute(text("UPDATE queue_items SET lease_until = NULL, leased_to = NULL"))
    session.commit()
    assert "data-name" not in ask(sign_in_as("lead"), "next").json()["html"]


def test_the_page_says_what_may_fit_no_label_and_only_with_the_prediction(sign_in_as, session: Session) -> None:
    add_document(session, unlike(1), "low_fit")
    add_document(session, unlike(2), "overlap")
    add_document(session, unlike(3), "audit", sampling_probability=0.5)
    session.execute(text("UPDATE predictions SET fit = 0.12"))
    session.commit()
    for id_, low in ((1, True), (2, True), (3, False)):
        session.execute(text("UPDATE queue_items SET not_before = 'infinity'"))
        session.execute(text("UPDATE queue_items SET not_before = NULL WHERE document_id = :id"), {"id": id_})
        session.commit()
        shown = ask(sign_in_as("reviewer", f"reviewer-{id_}"), "next").json()["html"]
        assert ("It may fit none of the labels: its fit is 12 %." in shown) is low
        assert ('<span class="pill">it may fit none of the labels</span>' in shown) is low  # an overlap says the same
        assert ("data-low-fit" in shown) is low


def test_where_the_prediction_is_hidden_its_low_fit_is_too(sign_in_as, session: Session) -> None:
    add_document(session, unlike(1), "low_fit")
    session.execute(text("UPDATE predictions SET fit = 0.12"))
    session.commit()
    ann = sign_in_as("reviewer")
    assert "it may fit none of the labels" in ask(ann, "next").json()["html"]
    session.execute(text("UPDATE queue_items SET shown = NULL"))  # as a lease of the hidden share
    session.commit()
    shown = ask(ann, "next").json()["html"]
    assert "The prediction is hidden here" in shown and "the model is not sure" in shown
    assert "fit none" not in shown and "low-fit" not in shown and "%" not in shown


def test_texts_of_one_character_and_of_many_and_labels_with_quotes(sign_in_as, session: Session) -> None:
    session.execute(text("UPDATE labels SET name = :name WHERE id = 1"), {"name": '"quoted" <b>🎉'})
    session.commit()
    add_document(session, "x")
    add_document(session, "y " * 100_000)
    shown = ask(sign_in_as("reviewer"), "next").json()["html"]
    assert shown.count("<article") == 2
    assert 'data-name="&#34;quoted&#34; &lt;b&gt;🎉"' in shown
    assert len(shown) > 200_000


def test_a_sensitive_label_is_blurred(sign_in_as, session: Session) -> None:
    session.execute(text("UPDATE labels SET sensitive = true WHERE id = 1"))
    session.commit()
    add_document(session, unlike(1))
    assert 'class="text blurred"' in ask(sign_in_as("reviewer"), "next").json()["html"]


def test_labels_in_use_and_the_page_around(sign_in_as, session: Session) -> None:
    session.execute(text("UPDATE labels SET archived_at = now() WHERE id = 2"))
    session.commit()
    add_document(session, unlike(1))
    ann = sign_in_as("reviewer")
    assert [each["name"] for each in ann.get("/desk/labels").json()] == [NAMES[0], NAMES[2]]
    around = ask(ann, "renew", tokens=[]).json()
    assert around["around"] == {"waiting": "1", "training": "The next training starts at 200 new decisions (now 0)."}


def test_every_answer_is_json_whatever_is_accepted(
    sign_in_as, web: httpx.Client, settings: Settings, session: Session, labels: list[int]
) -> None:
    """The script takes anything else for a proxy's, and keeps the decision."""
    add_document(session, unlike(1))
    ann = sign_in_as("reviewer")
    html = {"accept": "text/html", "x-csrf-token": ann.csrf}
    decision = {"document_id": 1, "token": 10**6, "action": "label", "label_id": labels[0]}
    answers = [
        web.post("/desk/decisions", json=decision, headers=html),
        ann.post("/desk/decisions", json=decision, headers={"accept": "text/html"}),
        ann.post("/desk/decisions", json=decision | {"document_id": 99}, headers=html),
        ann.get("/desk/decisions", headers=html),
        ann.post("/desk/decisions", json=decision, headers=html),
        ann.post("/desk/decisions", content=b"{", headers=html),
        ann.get("/desk/nothing", headers=html),
    ]
    with serving(settings.model_copy(update={"max_body_bytes": 1000})) as small:
        for content in (b"x" * 2000, iter([b"x" * 2000])):
            answers.append(small.post("/desk/decisions", content=content, headers=html, cookies=ann.cookies))
    session.execute(text("ALTER TABLE reviews RENAME TO reviews_away"))
    session.commit()
    answers.append(ann.post("/desk/decisions", json=decision, headers=html))
    assert [each.status_code for each in answers] == [401, 403, 404, 405, 409, 422, 404, 413, 413, 503]
    for each in answers:
        assert each.headers["content-type"] == "application/problem+json"
        assert each.json()["detail"]
    session.execute(text("ALTER TABLE reviews_away RENAME TO reviews"))
    session.commit()
    for path in ("next", "renew", "decisions", "undo"):
        body = {"renew": {"tokens": []}, "decisions": decision | {"token": 1}, "undo": {"review_id": 1}}.get(path, {})
        answer = ann.post(f"/desk/{path}", json=body, headers=html)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), path
    for path in ("labels", "session"):
        assert ann.get(f"/desk/{path}", headers=html).headers["content-type"] == "application/json"


def test_a_decision_that_several_tabs_send_at_once_is_written_once(
    sign_in_as, session: Session, labels: list[int]
) -> None:
    add_document(session, unlike(1))
    ann = sign_in_as("reviewer")
    ask(ann, "next")
    decision = {"document_id": 1, "token": 1, "action": "label", "label_id": labels[0]}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: ask(ann, "decisions", **decision).json(), range(6)))
    assert sorted(each["again"] for each in answers) == [False] + 5 * [True]
    assert {each["review_id"] for each in answers} == {1}
    assert len(session.scalars(select(Review)).all()) == 1
