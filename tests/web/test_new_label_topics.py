"""What may be a new label: grouped, made a label, its documents corrected and decided, and undone as a whole."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from browser import chromium, is_fit_for_all, signed_in
from filled_queue import add_document, add_labels
from like import add_vectors
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import AuditEvent, Label, ModelVersion, OutboxEvent, QueueItem, Review, Topic, User
from db.queries import grouping_input, groupings, incidents, labelled, labels, people, team, topics
from db.queries.groupings import NEW_LABEL
from housekeeping.topics_process import group_topics
from sortline.settings import Settings
from tests.web.conftest import Browser

SignInAs = Callable[..., Browser]
browser = pytest.fixture(scope="module")(chromium)


def none_fits(session: Session, document_id: int, user: User, proposed: str | None = None, **more: Any) -> int:
    row = Review(
        document_id=document_id, reviewer_id=user.id, action="none_fits", proposed_label=proposed,
        **{"reason": "doubtful", **more},
    )  # fmt: skip
    session.add(row)
    session.commit()
    return row.id


def set_fit(session: Session, ids: list[int], fit: float) -> None:
    session.execute(text("UPDATE predictions SET fit = :fit WHERE document_id = ANY(:ids)"), {"fit": fit, "ids": ids})
    session.commit()


@pytest.fixture
def cards(session: Session, settings: Settings) -> dict[str, list[int]]:
    """Documents about virtual cards that people decided "none fits" or that wait with a low fit, and others."""
    add_labels(session)
    ann, bob = (people.add(session, name, "reviewer", "tests") for name in ("rev-ann", "rev-bob"))
    about = {
        "decided": [add_document(session, f"a disposable virtual card {'x' * i}", None) for i in range(8)],
        "low": [add_document(session, f"virtual card please {'y' * i}") for i in range(6)],
        "fits": [add_document(session, f"my card is late {'z' * i}") for i in range(6)],
        "audit": [add_document(session, "a virtual card, by audit", reason="audit", sampling_probability=0.1)],
        "overlap": [add_document(session, "a virtual card, once more", reason="overlap")],
        "alone": [add_document(session, "zebra yacht", None)],
    }
    for place, id_ in enumerate(about["decided"]):
        none_fits(session, id_, ann, ["virtual card", "virtual card", "one-way card", None][place % 4])
    none_fits(session, about["decided"][0], bob)  # a second opinion
    none_fits(session, about["decided"][1], ann, reason="audit", sampling_probability=0.2)
    for kind in ("overlap", "alone"):
        none_fits(session, about[kind][0], ann)
    set_fit(session, [*about["low"], *about["audit"]], 0.2)
    set_fit(session, about["fits"], 0.9)
    add_vectors(session, {
        id_: [kind not in ("fits", "alone"), kind == "fits", kind == "alone", 0.01 * (id_ % 3)]
        for kind, ids in about.items() for id_ in ids
    })  # fmt: skip
    group_topics(settings)
    session.rollback()
    return about


def the_topic(session: Session) -> topics.Listed:
    session.rollback()
    [found] = topics.listing(session, NEW_LABEL)
    return found


def ticked(page: str) -> dict[str, str]:
    return {f"tick-{id_}": "on" for id_ in re.findall(r'name="tick-(\d+)"[^>]* checked', page)}


def test_what_was_decided_none_fits_and_what_waits_with_a_low_fit_are_grouped(
    session: Session, cards: dict[str, list[int]]
) -> None:
    found = the_topic(session)
    assert (found.waiting, found.none_fits, found.size) == (6, 8, 14)
    assert set(topics.typical(session, [found.id], 100)[found.id]) == {*cards["decided"], *cards["low"]}
    assert {"virtual", "card"} <= set(found.words)
    [proposed] = topics.proposed(session).values()
    assert proposed == {"virtual card": 4, "one-way card": 2}
    waits = {id_ for ids in topics.typical(session, [each.id for each in topics.listing(session)], 100).values()
             for id_ in ids}  # fmt: skip
    assert waits in (set(), {*cards["low"], *cards["fits"]}), "topics of what waits are a kind of their own"


def test_it_becomes_a_label_with_one_decision_that_can_be_undone(
    sign_in_as: SignInAs, session: Session, cards: dict[str, list[int]]
) -> None:
    lead = sign_in_as("lead")
    listed = lead.get("/topics?kind=new_label").text
    assert "14 documents alike: 8 decided as none fits, 6 undecided" in listed
    assert "1 document of 15 is like no others" in listed
    topic = the_topic(session).id
    page = lead.get(f"/topics/{topic}").text
    assert 'name="name" value="virtual card"' in page
    assert "one-way card</bdi> (2)" in page
    left = cards["low"][0]
    form = {name: on for name, on in ticked(page).items() if name != f"tick-{left}"}
    preview = lead.send_form(f"/topics/{topic}/label", name="virtual card", **form)
    assert "13 documents</b> will be decided as <b><bdi>virtual card" in preview.text
    assert "8 of them were decided as none fits, and will be corrected" in preview.text
    before = labelled.labelled_documents(session)
    assert {row.id for row in before if row.label_id is None} >= set(cards["decided"])

    done = lead.send_form(f"{preview.url.path}/decide")
    session.rollback()
    label = session.scalars(select(Label).where(Label.name == "virtual card")).one()
    assert "decided 13 documents as <bdi>virtual card" in done.text
    assert "<bdi>virtual card</bdi> has 13 documents. A training takes in a new label from 8 documents on" in done.text
    kept = {*cards["decided"], *cards["low"]} - {left}
    after = {row.id: row for row in labelled.labelled_documents(session)}
    assert {id_ for id_, row in after.items() if row.label_id == label.id} == kept, "training reads the new label"
    assert not any(after[id_].conflict for id_ in kept), "a second opinion is superseded too"
    audited = after[cards["decided"][1]]
    assert (audited.origin, audited.drawn_with) == ("audit", pytest.approx(0.2)), "the draw stays evidence"
    assert set(session.scalars(select(QueueItem.document_id))) >= {left, *cards["fits"], *cards["audit"]}
    assert not set(session.scalars(select(QueueItem.document_id))) & kept
    events = {event.document_id: event.event for event in session.scalars(select(OutboxEvent))}
    assert set(events) == kept
    assert {event["label"] for event in events.values()} == {"virtual card"}
    assert topics.count(session, topic)._tuple() == (1, 0)
    listed = lead.get("/labels").text
    assert re.search(r"<bdi>virtual card</bdi></a>.*?<td class=\"number\">13</td>", listed, re.DOTALL), (
        "a document on which two people said that none fits counts once"
    )
    assert labels.use(session, 100)[label.id].decided == 13
    assert [each.decisions for each in team.elsewhere(session, 1) if each.name == "lead"] == [13]

    lead.send_form(f"{preview.url.path}/undo")
    session.rollback()
    undone = {row.id: row for row in labelled.labelled_documents(session)}
    assert {id_ for id_, row in undone.items() if row.label_id is None} >= set(cards["decided"])
    assert undone[cards["decided"][1]].origin == "audit"
    assert set(session.scalars(select(QueueItem.document_id))) >= set(cards["low"])
    assert topics.count(session, topic)._tuple() == (6, 8)
    history = lead.get(f"/documents/{cards['decided'][2]}").text
    assert "Taken back later" in history
    assert "decided that no label fits" in history
    [noted] = session.scalars(select(AuditEvent).filter_by(action="bulk undone"))
    assert noted.detail == {"documents": 13}


def test_it_is_given_to_a_label_that_there_is_and_put_aside(
    sign_in_as: SignInAs, session: Session, settings: Settings, cards: dict[str, list[int]]
) -> None:
    lead, topic = sign_in_as("lead"), the_topic(session).id
    label = session.scalars(select(Label)).first()
    assert label is not None
    preview = lead.send_form(f"/topics/{topic}", label=str(label.id), which="all", shown="")
    assert "8 of them were decided as none fits" in preview.text
    predicted = lead.send_form(f"/topics/{topic}", label="", which="all", shown="")
    assert predicted.status_code == 422, "nothing fits, so nothing is confirmed"
    assert "Choose a label" in predicted.text
    aside = lead.send_form(f"/topics/{topic}/aside")
    assert (str(aside.url).rpartition("/")[2], "Put aside: 1" in aside.text) == ("topics?kind=new_label", True)
    group_topics(settings)
    assert the_topic(session).aside_at is not None


def test_proposals_and_incidents_lead_to_the_topic(
    sign_in_as: SignInAs, session: Session, settings: Settings, cards: dict[str, list[int]]
) -> None:
    topic, lead = the_topic(session).id, sign_in_as("lead")
    none_fits(session, cards["alone"][0], session.scalars(select(User).filter_by(name="rev-bob")).one(), "animals")
    shown = lead.get("/labels").text
    assert f'<bdi>virtual card</bdi> <a class="soft" href="/topics/{topic}">documents alike</a>' in shown
    assert "<bdi>animals</bdi></td>" in shown, "a proposal without a topic is listed alone"

    version = session.scalars(select(ModelVersion)).one()
    evidence = {"words": ["unlike"], "document_ids": [*cards["low"], *cards["audit"]]}
    incidents.begin(session, incidents.DRIFT, version.id, 0.1, evidence)
    session.commit()
    page = lead.get("/incidents").text
    assert re.search(rf'href="/topics/{topic}"><bdi>[^<]*virtual[^<]*</bdi></a> \(6 of its documents\)', page)
    session.execute(text("DELETE FROM topic_documents"))
    session.commit()
    assert 'href="/topics?kind=new_label">what may be a new label</a> yet' in lead.get("/incidents").text


def test_a_flood_of_copies_hides_nothing(session: Session, settings: Settings, cards: dict[str, list[int]]) -> None:
    flood = [add_document(session, f"Cheap watches {i}") for i in range(60)]
    more = [add_document(session, f"Cheap watches {i}") for i in range(60, 70)]
    set_fit(session, flood, 0.1)
    set_fit(session, more, 0.9)  # copies of what is grouped do not join it
    add_vectors(session, {id_: [0, 0, 0, 1] for id_ in [*flood, *more]})
    [read] = grouping_input.maybe_new(session, 30, 500, copies=10)
    assert sum(row.id in flood for row in read.texts) == 10
    assert {row.id for row in read.texts} >= {*cards["decided"], *cards["low"]}
    session.rollback()
    group_topics(settings)
    session.rollback()
    watches, virtual = topics.listing(session, NEW_LABEL)
    assert (watches.waiting, watches.copies, watches.words[:2]) == (60, True, ["cheap", "watches"])
    assert (virtual.waiting, virtual.none_fits) == (6, 8)


def test_what_waits_with_a_good_fit_joins_what_it_is_like(
    session: Session, settings: Settings, cards: dict[str, list[int]]
) -> None:
    """A model is sure of some documents of a label that it lacks; they are found by those that it is not sure of."""
    sure = [add_document(session, f"a virtual card for once {'w' * i}") for i in range(4)]
    set_fit(session, sure, 0.95)
    add_vectors(session, {id_: [1, 0, 0, 0.2] for id_ in sure})
    group_topics(settings)
    found = the_topic(session)
    assert (found.waiting, found.none_fits, found.size) == (10, 8, 18)
    assert set(topics.typical(session, [found.id], 100)[found.id][-4:]) == set(sure), "after those that made the topic"
    shown = groupings.shown(session, NEW_LABEL)
    assert shown is not None
    assert (shown.waiting, shown.documents) == (19, 18)


def test_what_has_vectors_of_another_encoder_is_grouped_apart(
    session: Session, settings: Settings, cards: dict[str, list[int]]
) -> None:
    """As after a promotion: what waits was scored again, what was decided was not."""
    add_vectors(session, {
        id_: [0, kind == "fits", kind == "low"] for kind in ("low", "fits") for id_ in cards[kind]
    }, key="newer")  # fmt: skip
    group_topics(settings)
    session.rollback()
    found = topics.listing(session, NEW_LABEL)
    assert [(each.waiting, each.none_fits) for each in found] == [(0, 8), (6, 0)]
    shown = groupings.shown(session, NEW_LABEL)
    assert shown is not None
    assert shown.without_vector == 0


def test_erased_documents_and_older_texts_are_gone(
    session: Session, settings: Settings, cards: dict[str, list[int]]
) -> None:
    from db.queries import erasure

    erasure.delete_documents(session, [cards["decided"][0]], "request")
    session.execute(text("UPDATE documents SET external_id = 'same' WHERE id = ANY(:ids)"), {"ids": cards["low"][:2]})
    session.commit()
    assert the_topic(session).none_fits == 7
    group_topics(settings)
    assert the_topic(session).waiting == 5


@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_fit(
    browser: Any, web: httpx.Client, session: Session, cards: dict[str, list[int]], width: int
) -> None:
    link = people.make_link(session, people.add(session, "lea", "lead", "tests"), "tests")
    topic = session.scalars(select(Topic.id).order_by(Topic.id.desc())).first()
    session.commit()
    with signed_in(browser, str(web.base_url), link, width, "light") as page:
        for path in ("topics?kind=new_label", f"topics/{topic}"):
            page.goto(f"{web.base_url}/{path}")
            assert is_fit_for_all(page, width)
