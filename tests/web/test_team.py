"""How people do: what counts, against counts by hand, on real rows; who may see it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from filled_queue import NAMES, add_document, add_labels, unlike
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import QueueItem, Review, User
from db.queries import decisions, people, queue_items, team, upstream_decisions
from db.queries.decisions import Decision, Shares
from db.queries.team import Compared, Flow, Pace, Repeated, Vote, Waiting
from web.team.figures import anchoring, clearing, how_people_do, own_figures

HOSTILE = '<b>"label" \u202e🎉'


@pytest.fixture
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session, (*NAMES[:2], HOSTILE))]


@pytest.fixture
def ann(session: Session) -> int:
    return person(session, "ann")


@pytest.fixture
def bob(session: Session) -> int:
    return person(session, "bob")


def person(session: Session, name: str) -> int:
    user = people.add(session, name, "reviewer", "tests")
    people.sign_in(session, user, "tests")
    session.commit()
    return user.id


def decide(
    session: Session, user: int, label: int | None, document: int | None = None, *,
    hidden: bool = False, shares: Shares = Shares(), action: str = "label", **item: object,
) -> decisions.Decided:  # fmt: skip
    """A person takes a document (a new one, with the prediction labels[0]) and decides it in 10 seconds."""
    document = document or add_document(session, unlike(session.query(Review).count()), **item)
    assert queue_items.lease(session, [document], user, 300, float(hidden)) == document
    token = session.scalars(select(QueueItem).where(QueueItem.document_id == document)).one().lease_token
    session.expire_all()
    decision = Decision(document, token, action, label, seconds=10.0)
    done = decisions.decide(session, decision, user, shares)
    session.commit()
    return done


def second(session: Session, user: int, label: int, other: int, other_label: int | None) -> None:
    """Two people decide the same document, the second without knowing of the first."""
    document = add_document(session, unlike(session.query(Review).count()))
    decide(session, user, label, document, shares=Shares(overlap=1.0))
    decide(session, other, other_label, document, action="label" if other_label else "none_fits")


def test_what_stands_counts_by_person_and_what_was_undone_does_not(
    session: Session, labels, ann: int, bob: int
) -> None:
    for label in (labels[0], labels[1]):
        decide(session, ann, label)
    undone = decide(session, ann, labels[1])
    decisions.undo(session, undone.review_id, ann, 300)
    session.commit()
    decide(session, bob, None, action="skip")
    decide(session, bob, None, action="none_fits")
    assert team.by_person(session, 7) == [
        Pace(ann, "ann", 2, 0, 2, 10.0, 0.0), Pace(bob, "bob", 1, 1, 1, 10.0, 0.0),
    ]  # fmt: skip
    assert [each.name for each in team.by_person(session, 7, bob)] == ["bob"]
    session.execute(
        text("UPDATE reviews SET created_at = now() - interval '10 days' WHERE reviewer_id = :id"), {"id": ann}
    )
    assert [each.name for each in team.by_person(session, 7)] == ["bob"]
    assert [each.name for each in team.by_person(session, team.EVER)] == ["ann", "bob"]


def test_imports_and_upstream_are_named_beside(session: Session, labels, ann: int) -> None:
    document = add_document(session, unlike(1))
    upstream_decisions.add(session, [upstream_decisions.Upstream(document, "crm: jo", NAMES[0], None)])
    importer = session.scalars(select(User).where(User.role == "import")).one()
    session.add(Review(document_id=document, reviewer_id=importer.id, action="correct", label_id=1, reason="import"))
    session.commit()
    decide(session, ann, labels[0])
    assert [each.name for each in team.by_person(session, 7)] == ["ann"]
    assert team.elsewhere(session, 7) == [("crm: jo", "upstream", 1), ("import", "import", 1)]
    assert sum(each.decided for each in team.flow(session, 7, 1)) == 1


def test_the_arms_of_the_prediction(session: Session, labels, ann: int) -> None:
    decide(session, ann, labels[0])
    decide(session, ann, labels[1])
    decide(session, ann, labels[0], hidden=True)
    decide(session, ann, None, hidden=True, action="none_fits")
    decide(session, ann, labels[2], reason="audit", sampling_probability=0.5)
    document = add_document(session, unlike(99), reason="label_error")
    session.execute(text("DELETE FROM predictions WHERE document_id = :id"), {"id": document})
    decide(session, ann, labels[0], document)  # nothing was predicted: it is in no arm
    assert sorted(team.against_model(session, 7), key=str) == sorted([
        Compared("shown", labels[0], labels[0], 1), Compared("shown", labels[0], labels[1], 1),
        Compared("hidden", labels[0], labels[0], 1), Compared("hidden", labels[0], None, 1),
        Compared("audit", labels[0], labels[2], 1),
    ], key=str)  # fmt: skip


def test_a_hidden_prediction_is_the_one_of_its_time(session: Session, labels, ann: int) -> None:
    decide(session, ann, labels[0], hidden=True)
    session.execute(
        text("INSERT INTO predictions SELECT document_id, 2, 'rescore', :label, confidence, probabilities, decision, "
             "windows, truncated, now() + interval '1 minute' FROM predictions"), {"label": labels[1]},
    )  # fmt: skip
    assert team.against_model(session, 7) == [Compared("hidden", labels[0], labels[0], 1)]


def test_anchoring_compares_shown_with_hidden_and_leaves_audits_out() -> None:
    found = anchoring([
        Compared("shown", 1, 1, 56), Compared("shown", 1, 2, 14), Compared("hidden", 1, 1, 48),
        Compared("hidden", 1, None, 32), Compared("audit", 1, 2, 500),
    ])  # fmt: skip
    assert (found.shown.value, found.hidden.value) == (0.8, 0.6)
    assert (round(found.more.low, 4), round(found.more.high, 4)) == (0.0524, 0.3339)


def test_second_opinions_are_each_persons_standing_vote(session: Session, labels, ann: int, bob: int) -> None:
    decide(session, ann, labels[0])  # by one person alone
    second(session, ann, labels[0], bob, labels[1])
    second(session, ann, labels[1], bob, None)
    undone = session.scalars(select(Review).order_by(Review.id.desc())).first()
    assert undone is not None
    votes = team.decided_twice(session, 7, 10)
    newest = undone.document_id
    assert votes == [
        Vote(newest, ann, labels[1]), Vote(newest, bob, None),
        Vote(newest - 1, ann, labels[0]), Vote(newest - 1, bob, labels[1]),
    ]  # fmt: skip
    assert team.decided_twice(session, 7, 1) == votes[:2]
    decisions.undo(session, undone.id, bob, 300)
    assert team.decided_twice(session, 7, 10) == votes[2:]


def test_repeats_are_held_against_what_the_same_person_decided_before(
    session: Session, labels, ann: int, bob: int
) -> None:
    for again in (labels[0], labels[1]):
        document = add_document(session, unlike(session.query(Review).count()))
        decide(session, ann, labels[0], document, shares=Shares(repeat=1.0))
        assert [(each.waiting, each.later) for each in team.queue(session, 7)] == [(0, 1)]
        session.execute(text("UPDATE queue_items SET not_before = now()"))
        decide(session, ann, again, document)
    assert team.repeated(session, 7) == [Repeated(ann, 2, 1)]
    assert team.repeated(session, 7, bob) == []


def test_the_queue_by_reason_and_age_with_overdue_audits(session: Session, labels) -> None:
    for days, reason in ((0, "doubtful"), (3, "doubtful"), (40, "doubtful"), (6, "audit"), (8, "audit"), (9, "flag")):
        document = add_document(session, unlike(days), reason=reason)
        session.execute(
            text("UPDATE queue_items SET selected_at = now() - make_interval(days => :days) WHERE document_id = :id"),
            {"days": days, "id": document},
        )
    doubtful, audits, flags = team.queue(session, 7)
    assert doubtful[:7] == ("doubtful", 3, 0, 1, 1, 0, 1)
    assert (round(doubtful.oldest_d), doubtful.overdue) == (40, 0)
    assert (audits[:7], audits.overdue) == (("audit", 2, 0, 0, 1, 1, 0), 1)
    assert (flags.under_30, flags.overdue) == (1, 0)


def test_what_came_and_what_went(session: Session, labels, ann: int, bob: int) -> None:
    add_document(session, unlike(50))  # came, and waits
    decide(session, ann, labels[0])  # came and went
    old = add_document(session, unlike(60))
    session.execute(
        text("UPDATE queue_items SET selected_at = now() - interval '30 days' WHERE document_id = :id"), {"id": old}
    )
    decide(session, ann, labels[0], old)  # went, came long ago
    second(session, ann, labels[0], bob, labels[0])  # one document, two decisions
    found = team.flow(session, 7, 1)
    assert [(each.decided, each.gone, each.came) for each in found] == [(4, 3, 3)]
    assert found[0].began.astimezone(UTC).time().isoformat() == "00:00:00"


def waits(count: int) -> list[Waiting]:
    return [Waiting("doubtful", count, 0, count, 0, 0, 0, 0.5, 0), Waiting("overlap", 90, 0, 90, 0, 0, 0, 0.5, 0)]


def week(gone: int, came: int, days: int = 7) -> list[Flow]:
    return [Flow(datetime.now(UTC) - timedelta(days=days, hours=1), gone, gone, came)]


def test_time_to_clear_is_honest() -> None:
    assert clearing(waits(100), week(140, 70)).days == 10.0
    assert clearing(waits(100), week(140, 70, days=2)).days == pytest.approx(100 / 35)
    never = clearing(waits(100), week(70, 140))
    assert (never.days, never.enough, never.came_a_day, never.gone_a_day) == (None, True, 20.0, 10.0)
    assert clearing(waits(100), week(70, 70)).days is None
    few = clearing(waits(100), week(10, 0))
    assert (few.days, few.enough) == (None, False)
    assert clearing([], []).waiting == 0


def test_all_of_it_on_real_rows(session: Session, labels, ann: int, bob: int) -> None:
    for i in range(24):
        second(session, ann, labels[i % 2], bob, labels[i % 2] if i % 6 else labels[2])
    found = how_people_do(session, 7, 7.0)
    assert (found.decisions, found.people, found.rate.value) == (48, 2, 360.0)
    assert found.agreement.n == 24
    assert 0 < found.agreement.low < (found.agreement.value or 0) < found.agreement.high < 1
    assert "ann and bob" in found.plots["agreement"]
    assert found.anchoring.more.missing == 20  # nothing was hidden
    assert own_figures(session, ann, 30)[0] == 24


def test_only_leads_see_it_and_reviewers_see_themselves(
    session: Session, labels, ann: int, sign_in_as: Callable[..., object]
) -> None:
    reviewer, lead = sign_in_as("reviewer", "rita"), sign_in_as("lead", "lea")
    rita = session.scalars(select(User.id).where(User.name == "rita")).one()
    assert "/people" not in reviewer.get("/account").text
    assert "How you are doing" not in reviewer.get("/account").text
    for i in range(25):
        decide(session, rita, labels[i % 3])
    decide(session, ann, labels[0])
    assert reviewer.get("/people").status_code == 403
    own = reviewer.get("/account").text
    assert "you decided 25 documents, 360 an hour" in own
    assert "after 20 more documents have come to you twice" in own
    page = lead.get("/people?days=90")
    assert page.status_code == 200
    assert 'href="/people"' in page.text
    assert "rita" in page.text
    assert HOSTILE not in page.text
    assert "&lt;b&gt;&#34;label&#34;" in page.text
    assert "style=" not in page.text
    assert lead.get("/people?days=8").status_code == 422


def test_an_empty_database_has_a_page(sign_in_as: Callable[..., object]) -> None:
    page = sign_in_as("admin").get("/people?days=all").text
    assert "Nothing waits." in page
    assert page.count("Nothing yet.") == 10
