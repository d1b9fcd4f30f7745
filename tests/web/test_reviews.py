"""What upstream says: flags, and decisions of its own people."""

import httpx
import pytest
from filled_queue import NAMES, add_document, add_labels, unlike
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import Document, Label, QueueItem, Review, User


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


def test_a_flag_puts_a_document_before_a_person(web: httpx.Client, session: Session) -> None:
    sure = add_document(session, unlike(1), reason=None, name="a/b ?")
    answer = web.post("/v1/documents/mail/a%2Fb%20%3F/flag", json={"note": "a customer complains"})
    assert (answer.status_code, answer.json()) == (200, {"source": "mail", "id": "a/b ?", "flagged": True})
    item = session.scalars(select(QueueItem)).one()
    assert (item.document_id, item.reason, item.note) == (sure, "flag", "tests: a customer complains")
    assert item.label_id is not None

    assert web.post("/v1/documents/mail/nobody/flag").status_code == 404
    assert web.post("/v1/documents/mail/a%2Fb%20%3F/flag", json={"why": "?"}).status_code == 422
    assert httpx.post(f"{web.base_url}/v1/documents/mail/x/flag").status_code == 401


def test_a_flag_leaves_a_drawn_audit_one(web: httpx.Client, session: Session) -> None:
    add_document(session, unlike(1), reason="audit", sampling_probability=0.5, name="a")
    assert web.post("/v1/documents/mail/a/flag").status_code == 200
    item = session.scalars(select(QueueItem)).one()
    assert (item.reason, item.sampling_probability) == ("audit", 0.5)


def test_upstream_decisions_are_written_once_and_decide(web: httpx.Client, session: Session) -> None:
    add_document(session, unlike(1), name="a")
    add_document(session, unlike(2), name="b")
    given = {
        "reviews": [
            {"source": "mail", "id": "a", "label": NAMES[1], "reviewer": "ann"},
            {"source": "mail", "id": "b", "label": None, "note": "spam"},
        ]
    }
    assert web.post("/v1/reviews", json=given).json() == {"accepted": 2}
    assert web.post("/v1/reviews", json=given).json() == {"accepted": 0}
    rows = session.execute(
        select(Review.action, Review.reason, Review.note, User.name, User.role).join(User).order_by(Review.id)
    ).all()
    assert [tuple(row) for row in rows] == [
        ("correct", "upstream", None, "tests/ann", "upstream"), ("none_fits", "upstream", "spam", "tests", "upstream"),
    ]  # fmt: skip
    assert session.scalars(select(QueueItem)).all() == []
    events = [row.event["label"] for row in session.execute(text("SELECT event FROM outbox ORDER BY id"))]
    assert events == [NAMES[1], ""]
    state = web.get("/v1/documents/mail/a").json()
    assert (state["state"], state["review"]["label"]) == ("reviewed", NAMES[1])

    given["reviews"][0]["label"] = NAMES[0]
    assert web.post("/v1/reviews", json=given).json() == {"accepted": 1}
    assert web.get("/v1/documents/mail/a").json()["review"]["label"] == NAMES[0]


def test_a_label_of_upstream_is_the_one_that_looks_the_same(web: httpx.Client, session: Session) -> None:
    add_document(session, unlike(1), name="a")
    typed = NAMES[1].replace(" ", "\u00a0 ") + "\u3000"
    given = {"reviews": [{"source": "mail", "id": "a", "label": typed}]}
    assert web.post("/v1/reviews", json=given).json() == {"accepted": 1}
    assert web.post("/v1/reviews", json=given).json() == {"accepted": 0}
    assert web.get("/v1/documents/mail/a").json()["review"]["label"] == NAMES[1]


@pytest.mark.parametrize(
    ("review", "status", "said"),
    [
        ({"source": "mail", "id": "nobody", "label": NAMES[0]}, 404, "review 1: mail/nobody"),
        ({"source": "mail", "id": "a", "label": "no such"}, 422, "no label 'no such' in use"),
        ({"source": "mail", "id": "a", "label": "cash\u200bwithdrawal"}, 422, "ZERO WIDTH SPACE (U+200B)"),
        ({"source": "mail", "id": "a", "label": "\0"}, 422, "a NUL"),
        ({"source": "mail", "id": "a"}, 422, ""),
        ({"source": "mail", "id": "a", "label": NAMES[0], "score": 1}, 422, ""),
        ({"source": "mail", "id": "a\0", "label": NAMES[0]}, 422, "NUL"),
    ],
)
def test_a_request_is_taken_whole_or_not_at_all(
    web: httpx.Client, session: Session, review: dict, status: int, said: str
) -> None:
    add_document(session, unlike(1), name="a")
    good = {"source": "mail", "id": "a", "label": NAMES[1]}
    answer = web.post("/v1/reviews", json={"reviews": [good, review]})
    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert session.scalars(select(Review)).all() == []


def test_a_document_without_a_prediction_is_decided_upstream(web: httpx.Client, session: Session) -> None:
    session.add(Label(name="brand new"))
    session.add(Document(source="mail", external_id="1", content_hash=b"h", text="a text", lane="live", entry_id="1-0"))
    session.commit()

    decision = {"source": "mail", "id": "1", "label": "brand new", "reviewer": "jo"}
    answer = web.post("/v1/reviews", json={"reviews": [decision]})

    assert (answer.status_code, answer.json()) == (201, {"accepted": 1})
    review = session.scalars(select(Review)).one()
    assert (review.action, review.shown_prediction, review.reason) == ("correct", None, "upstream")
    assert web.get("/v1/documents/mail/1").json()["state"] == "reviewed"
