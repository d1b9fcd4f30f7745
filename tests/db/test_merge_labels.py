"""A label merged into another: what counts, what upstream hears, what stays as it was, and the way back."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from filled_queue import add_document, add_labels, unlike
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import AuditEvent, Label, QueueItem, Review
from db.queries import (
    decisions,
    document_search,
    labels,
    merge_labels,
    people,
    queue_items,
    upstream_decisions,
    webhooks,
)
from db.queries.decisions import Decision, Shares
from db.queries.document_search import Filters
from db.queries.document_state import document_state
from db.queries.labelled import import_examples, labelled_documents
from db.queries.upstream_decisions import Upstream
from db.session import session as open_session
from sortline.errors import ConflictError, InvalidInputError
from sortline.events import KINDS
from sortline.settings import Settings

A, B, C = 1, 2, 3
ACTOR = "user:ann"


@pytest.fixture(autouse=True)
def three_labels(session: Session) -> None:
    assert [label.id for label in add_labels(session, ["a", "b", "c"])] == [A, B, C]


def person(session: Session, name: str) -> int:
    return people.add(session, name, "reviewer", "tests").id


def decided(session: Session, user: int, label_id: int, i: int) -> int:
    """A document that somebody gave a label at the desk."""
    document = add_document(session, unlike(i), name=f"doc-{i}")
    queue_items.lease(session, [document], user, 60, 0.0)
    item = queue_items.leased(session, user, [document])[0]
    decisions.decide(session, Decision(document, item.lease_token, "label", label_id), user, Shares())
    session.commit()
    return document


def events(session: Session) -> list[tuple[str, str]]:
    """What left for upstream since it was asked last."""
    found = session.execute(text("DELETE FROM outbox RETURNING id, event")).all()
    session.commit()
    return [(row.event["id"], row.event["label"]) for row in sorted(found)]


def given(session: Session) -> dict[int, str]:
    return {document.id: document.label for document in labelled_documents(session)}


def test_decisions_count_as_the_other_and_none_is_rewritten(session: Session) -> None:
    ann, bob = person(session, "ann"), person(session, "bob")
    one, two = decided(session, ann, A, 1), decided(session, bob, B, 2)
    before = session.execute(text("SELECT * FROM reviews ORDER BY id")).all()
    ids = {document.id: document.review_ids for document in labelled_documents(session)}
    events(session)

    done = merge_labels.merge(session, A, B, ACTOR)
    session.commit()

    assert done == merge_labels.Merged("a", "b", 1)
    assert given(session) == {one: "b", two: "b"}
    assert {document.id: document.review_ids for document in labelled_documents(session)} == ids
    assert session.execute(text("SELECT * FROM reviews ORDER BY id")).all() == before
    assert events(session) == [("doc-1", "b")]
    found = document_search.search(session, Filters(decided="b"), None, 9).rows
    assert {row.id: row.decided for row in found} == {one: "b", two: "b"}
    state = document_state(session, "mail", "doc-1")
    assert state is not None
    assert state.review is not None
    assert (state.label, state.review["label"]) == ("a", "b")
    assert labels.get(session, A).archived_at is not None
    rows = session.scalars(select(AuditEvent).where(AuditEvent.subject == f"label:{A}")).all()
    assert [(row.actor, row.action, row.detail["into"]) for row in rows] == [(ACTOR, "label merged", B)]


def test_two_who_meant_the_same_agree_now(session: Session) -> None:
    ann, bob, eve = (person(session, name) for name in ("ann", "bob", "eve"))
    document = decided(session, ann, A, 1)
    for user, label_id in ((bob, B), (eve, C)):
        session.add(
            Review(document_id=document, reviewer_id=user, action="correct", label_id=label_id, reason="overlap")
        )
    session.commit()
    assert given(session) == {document: "c"}  # one vote each: the latest

    merge_labels.merge(session, A, B, ACTOR)

    assert given(session) == {document: "b"}


def test_undo_brings_back_its_own_decisions_and_later_ones_stay(session: Session) -> None:
    ann = person(session, "ann")
    one = decided(session, ann, A, 1)
    merge_labels.merge(session, A, B, ACTOR)
    session.commit()
    two = decided(session, ann, B, 2)
    events(session)

    done = merge_labels.undo_merge(session, A, ACTOR)
    session.commit()

    assert done.events == 1
    assert given(session) == {one: "a", two: "b"}
    assert events(session) == [("doc-1", "a")]
    assert labels.get(session, A).archived_at is None
    with pytest.raises(ConflictError, match="the label a is not merged"):
        merge_labels.undo_merge(session, A, ACTOR)


def test_a_chain_does_not_grow(session: Session) -> None:
    ann = person(session, "ann")
    one, two = decided(session, ann, A, 1), decided(session, ann, B, 2)
    merge_labels.merge(session, A, B, ACTOR)
    session.commit()
    events(session)

    merge_labels.merge(session, B, C, ACTOR)
    session.commit()

    assert labels.merged(session) == {A: C, B: C}
    assert given(session) == {one: "c", two: "c"}
    assert events(session) == [("doc-1", "c"), ("doc-2", "c")]
    merge_labels.undo_merge(session, B, ACTOR)
    assert given(session) == {one: "c", two: "b"}


@pytest.mark.parametrize(
    ("label_id", "into", "why"),
    [(A, A, "can't be merged into itself"), (A, C, "c is archived"), (C, A, "c is archived"), (A, 99, "no label 99")],
)
def test_what_can_not_be_merged(session: Session, label_id: int, into: int, why: str) -> None:
    labels.set_archived(session, C, True, ACTOR)
    with pytest.raises(Exception, match=why):
        merge_labels.merge(session, label_id, into, ACTOR)
    assert labels.merged(session) == {}


def test_twice_is_once_and_a_merged_label_is_not_brought_back_by_half(session: Session) -> None:
    decided(session, person(session, "ann"), A, 1)
    events(session)
    merge_labels.merge(session, A, B, ACTOR)
    assert merge_labels.merge(session, A, B, ACTOR).events == 0
    assert len(events(session)) == 1
    with pytest.raises(ConflictError, match="the label a was merged; undo that first"):
        labels.set_archived(session, A, False, ACTOR)


def test_imported_documents_tell_nobody_and_old_files_mean_the_other_label(session: Session) -> None:
    row = {"source": "import", "id": "x", "hash": "00", "text": "where is it", "repaired": False, "label": "a"}
    import_examples(session, orjson_list(row), ["a"])
    done = merge_labels.merge(session, A, B, ACTOR)
    assert done.events == 0
    again = import_examples(session, orjson_list(row), ["a"])
    other = import_examples(session, orjson_list(row | {"id": "y", "hash": "01"}), ["a"])
    assert (again, other) == ((0, 0), (1, 1))
    assert set(given(session).values()) == {"b"}


def orjson_list(row: dict[str, Any]) -> str:
    import orjson

    return orjson.dumps([row]).decode()


def test_stream_and_webhooks_hear_of_each_document_of_a_large_merge(session: Session) -> None:
    ann, count = person(session, "ann"), 2_500
    webhooks.add(session, "crm", "https://hooks.example.com/", ["corrected"], None, ACTOR)
    webhooks.add(session, "chat", "https://chat.example.com/", KINDS, ["chat"], ACTOR)
    session.execute(
        text("""
        WITH sent AS (
          INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id)
          SELECT 'mail', 'm-' || i, sha256(CAST(CAST(i AS text) AS bytea)), 'card', 'live', i || '-0'
          FROM generate_series(1, :count) i RETURNING id)
        INSERT INTO reviews (document_id, reviewer_id, action, label_id, reason)
        SELECT id, :ann, 'correct', :label, 'doubtful' FROM sent
        """),
        {"count": count, "ann": ann, "label": A},
    )

    assert merge_labels.merge(session, A, B, ACTOR).events == count

    delivered = session.execute(
        text(
            "SELECT webhooks.name, event, document_id FROM webhook_deliveries JOIN webhooks ON webhooks.id = webhook_id "
            "ORDER BY webhook_deliveries.id"
        )
    ).all()
    assert {row.name for row in delivered} == {"crm"}
    told = session.execute(text("SELECT event, document_id FROM outbox ORDER BY id")).all()
    assert [(row.event, row.document_id) for row in told] == [(row.event, row.document_id) for row in delivered]
    assert len({row.document_id for row in told}) == len(told) == count
    assert {row.event["label"] for row in told} == {"b"}


def test_upstreams_people_may_use_the_old_name(session: Session) -> None:
    document = add_document(session, unlike(1), name="doc-1")
    merge_labels.merge(session, A, B, ACTOR)
    assert upstream_decisions.add(session, [Upstream(document, "crm/zoe", "a", None)]) == 1
    review = session.scalars(select(Review)).one()
    assert (review.label_id, review.action) == (B, "confirm")  # the model said a
    assert events(session) == [("doc-1", "b")]


def test_the_desk_says_what_became_of_the_label_and_takes_the_other_as_its_prediction(session: Session) -> None:
    ann = person(session, "ann")
    document = add_document(session, unlike(1))
    queue_items.lease(session, [document], ann, 60, 0.0)
    item = queue_items.leased(session, ann, [document])[0]
    session.commit()
    merge_labels.merge(session, A, B, ACTOR)
    session.commit()

    with pytest.raises(InvalidInputError, match="the label a was merged into b; choose that, or another"):
        decisions.decide(session, Decision(document, item.lease_token, "label", A), ann, Shares())
    session.rollback()
    done = decisions.decide(session, Decision(document, item.lease_token, "label", B), ann, Shares())

    assert done.action == "confirm"


def test_a_decision_under_way_comes_first_and_upstream_hears_the_last_name(
    settings: Settings, session: Session
) -> None:
    ann = person(session, "ann")
    document = add_document(session, unlike(1), name="doc-1", probabilities=(0.2, 0.3, 0.5))
    queue_items.lease(session, [document], ann, 60, 0.0)
    item = queue_items.leased(session, ann, [document])[0]
    session.commit()

    def merge() -> int:
        with open_session(settings.postgres_url) as other:
            done = merge_labels.merge(other, A, B, ACTOR)
            other.commit()
            return done.events

    with ThreadPoolExecutor() as pool:
        decisions.decide(session, Decision(document, item.lease_token, "label", A), ann, Shares())
        merging = pool.submit(merge)
        with open_session(settings.postgres_url) as other:
            while not other.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")):
                other.rollback()
        session.commit()
        assert merging.result(20) == 1
    assert events(session) == [("doc-1", "a"), ("doc-1", "b")]


def test_a_label_in_doubt_that_the_merge_settles_waits_no_longer(session: Session) -> None:
    ann = person(session, "ann")
    settled, doubted = decided(session, ann, A, 1), decided(session, ann, C, 2)
    items = [{"document_id": document, "score": 0.1, "label_id": B} for document in (settled, doubted)]
    queue_items.add(session, items, "label_error")
    merge_labels.merge(session, A, B, ACTOR)
    assert [item.document_id for item in session.scalars(select(QueueItem))] == [doubted]


def test_names(session: Session) -> None:
    assert labels.add(session, '  cafe\u0301\u00a0 "quoted"\u3000🎉', ACTOR).name == 'café "quoted" 🎉'
    labels.add(session, "x" * 200, ACTOR)
    with pytest.raises(ConflictError, match="there is a label café"):
        labels.add(session, 'café "quoted"\t🎉', ACTOR)
    for wrong in ("", "  ", "x" * 201, "a\nb", "a\x00", "a\u202eb", "a\ud800"):
        with pytest.raises(InvalidInputError):
            labels.add(session, wrong, ACTOR)
    assert len(session.scalars(select(Label)).all()) == 5


def test_a_label_is_found_as_it_is_typed_and_one_of_before_by_its_exact_name(session: Session) -> None:
    kept = labels.add(session, "late parcel", ACTOR).id
    before = Label(name="late  parcel")  # two spaces, as a label could have before names were cleaned
    session.add(before)
    session.flush()
    typed = [
        "late parcel",
        "late\u00a0parcel",
        " late\u3000 parcel ",
        "late  parcel",
        "late\u200bparcel",
        "a\x00",
        "\ud800",
    ]
    assert [labels.id_named(session, each) for each in typed] == [kept, kept, kept, before.id, None, None, None]
    held = labels.hold_named(session, typed)
    assert {name: row.id for name, row in held.items()} == dict(zip(typed, [kept, kept, kept, before.id], strict=False))


def test_figures_and_proposals(session: Session) -> None:
    ann = person(session, "ann")
    decided(session, ann, A, 1)
    document = add_document(session, unlike(2))
    for i, proposed in enumerate(["lost parcel", " lost\u00a0 parcel", "b", "lost\u200bparcel", "refund"]):
        session.add(
            Review(
                document_id=document, reviewer_id=ann, action="none_fits", reason="doubtful", proposed_label=proposed,
                supersedes_id=None,
            )
        )  # fmt: skip
        session.flush()
        if i == 4:
            last = session.scalars(select(Review.id).order_by(Review.id.desc())).first()
            session.add(
                Review(document_id=document, reviewer_id=ann, action="undo", reason="doubtful", supersedes_id=last)
            )
    session.flush()
    assert labels.use(session, 100)[A] == labels.Use(decided=1, waiting=1, predicted=2)
    assert [(each.name, each.times) for each in labels.proposed(session)] == [("lost parcel", 2)]
