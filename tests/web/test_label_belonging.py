"""What else may belong to a label that the model does not know yet: found by likeness, decided together, and undone."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from browser import chromium, is_fit_for_all, signed_in
from filled_queue import NAMES, add_document, add_labels
from like import add_vectors
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import Label, ModelVersion, QueueItem, Review, Topic, User
from db.queries import belonging, labelled, people
from housekeeping.topics_process import group_topics
from sortline.settings import Settings
from tests.web.conftest import Browser

SignInAs = Callable[..., Browser]
browser = pytest.fixture(scope="module")(chromium)
VIRTUAL, LATE, CASH = [1, 0, 0], [0, 1, 0], [0, 0.2, 1]


def decide(session: Session, ids: list[int], user: User, label: Label | None, reason: str = "doubtful") -> None:
    for id_ in ids:
        action = "none_fits" if label is None else "correct"
        session.add(
            Review(
                document_id=id_, reviewer_id=user.id, action=action, label_id=label.id if label else None, reason=reason
            )
        )
    session.execute(text("DELETE FROM queue_items WHERE document_id = ANY(:ids)"), {"ids": ids})
    session.commit()


@pytest.fixture
def new(session: Session) -> Label:
    """A label that came after the model."""
    add_labels(session)
    label = Label(name="virtual card")
    session.add(label)
    session.commit()
    return label


@pytest.fixture
def cards(session: Session, new: Label) -> dict[str, list[int]]:
    """Documents about virtual cards, of which some are decided as the new label, and others."""
    ann = people.add(session, "rev-ann", "reviewer", "tests")
    arrival = session.scalars(select(Label).filter_by(name=NAMES[0])).one()
    found = {
        name: [add_document(session, f"{name} {'x' * i}", reason) for i in range(count)]
        for name, count, reason in (
            ("none fits", 3, "doubtful"), ("own", 5, "doubtful"), ("waits", 4, "doubtful"), ("between", 1, "low_fit"),
            ("accepted", 2, None), ("late", 5, "doubtful"), ("late and accepted", 4, None), ("cash", 3, "doubtful"),
            ("none fits, known", 1, "doubtful"), ("audit", 1, "audit"), ("own, too", 1, "doubtful"),
        )
    }  # fmt: skip
    decide(session, found["none fits"], ann, None)
    decide(session, found["own"], ann, new)
    decide(session, found["own, too"], ann, new)
    decide(session, found["late"], ann, arrival)
    decide(session, found["none fits, known"], ann, None)
    where = {"between": [0.5, 1, 0], "late": LATE, "late and accepted": LATE, "cash": CASH}
    add_vectors(session, {
        id_: [*where.get(name, VIRTUAL), 0.01 * (id_ % 3)] for name, ids in found.items() for id_ in ids
    })  # fmt: skip
    return found


def ticks(page: str) -> dict[int, bool]:
    found = re.findall(r'<input type="checkbox" name="tick-(\d+)"[^>]*?( checked)?>', page)
    return {int(id_): bool(checked) for id_, checked in found}


def test_what_is_more_like_the_label_than_like_others_may_belong(
    session: Session, new: Label, cards: dict[str, list[int]]
) -> None:
    found = belonging.may_belong(session, new.id)
    likely = {each.id for each in found.documents if each.margin > 0}
    assert likely == {*cards["none fits"], *cards["waits"], *cards["accepted"]}
    assert (found.own, found.may_belong) == (6, len(likely))
    asked = {each.id for each in found.documents}
    assert asked - likely == {*cards["between"], *cards["late and accepted"], *cards["cash"]}
    assert [each.margin for each in found.documents] == sorted((e.margin for e in found.documents), reverse=True)
    assert all(-1 <= each.likeness <= 1.001 for each in found.documents)


def test_a_lead_gives_it_to_them_and_undoes_it(
    sign_in_as: SignInAs, session: Session, new: Label, cards: dict[str, list[int]]
) -> None:
    lead = sign_in_as("lead")
    assert f'href="/labels/{new.id}/belonging"' in lead.get(f"/labels/{new.id}").text
    page = lead.get(f"/labels/{new.id}/belonging").text
    assert "9 documents are more like the 6 documents of this label" in page
    shown = ticks(page)
    assert {id_ for id_, ticked in shown.items() if ticked} == {
        *cards["none fits"], *cards["waits"], *cards["accepted"]
    }  # fmt: skip
    assert not any(ticks(lead.get(f"/labels/{new.id}/belonging?ticks=none").text).values())
    form = {f"tick-{id_}": "on" for id_, ticked in shown.items() if ticked and id_ != cards["waits"][0]}
    preview = lead.send_form(f"/labels/{new.id}/belonging", **form)
    assert "8 documents</b> will be decided as <b><bdi>virtual card" in preview.text
    assert "3 of them were decided as none fits, and will be corrected" in preview.text
    assert f'<a href="/labels/{new.id}/belonging">What else may belong to the label</a>' in preview.text
    done = lead.send_form(f"{preview.url.path}/decide")
    assert "<bdi>virtual card</bdi> has 14 documents" in done.text
    assert f'<a href="/labels/{new.id}/belonging">1 more document may belong to <bdi>virtual card</bdi>' in done.text
    session.rollback()
    given = {row.id for row in labelled.labelled_documents(session) if row.label_id == new.id}
    assert given == {
        *cards["own"], *cards["own, too"], *cards["none fits"], *cards["waits"][1:], *cards["accepted"]
    }  # fmt: skip
    undone = lead.send_form(f"{preview.url.path}/undo").text
    assert "more may belong" not in undone
    session.rollback()
    assert belonging.may_belong(session, new.id).may_belong == 9
    assert set(session.scalars(select(QueueItem.document_id))) >= set(cards["waits"])


def test_what_is_decided_or_left_since_is_refused(
    sign_in_as: SignInAs, session: Session, new: Label, cards: dict[str, list[int]]
) -> None:
    lead, bob = sign_in_as("lead"), sign_in_as("reviewer")
    nothing = lead.send_form(f"/labels/{new.id}/belonging")
    assert (nothing.status_code, "Tick at least one document" in nothing.text) == (422, True)
    read = bob.get(f"/labels/{new.id}/belonging").text
    assert "9 documents are more like" in read
    assert ticks(read) == {}
    assert bob.send_form(f"/labels/{new.id}/belonging", **{f"tick-{cards['waits'][0]}": "on"}).status_code == 403
    blind = lead.send_form(f"/labels/{new.id}/belonging", **{f"tick-{cards['audit'][0]}": "on"})
    assert "waiting as an audit" in blind.text
    assert lead.get("/labels/999/belonging").status_code == 404


def test_a_label_that_the_model_knows_needs_no_likeness(
    sign_in_as: SignInAs, session: Session, new: Label, cards: dict[str, list[int]]
) -> None:
    lead = sign_in_as("lead")
    known = session.scalars(select(Label).filter_by(name=NAMES[0])).one()
    assert f"/labels/{known.id}/belonging" not in lead.get(f"/labels/{known.id}").text
    page = lead.get(f"/labels/{known.id}/belonging").text
    assert "The model knows this label" in page
    assert ticks(page) == {}
    session.execute(
        text("DELETE FROM embeddings WHERE document_id = ANY(:ids)"), {"ids": [*cards["own"], *cards["own, too"]]}
    )
    session.commit()
    assert "No document of this label has a vector" in lead.get(f"/labels/{new.id}/belonging").text
    session.execute(text("UPDATE model_versions SET label_ids = label_ids || :id"), {"id": new.id})
    session.commit()
    assert belonging.unknown_labels(session, 5) == []
    session.query(ModelVersion).update({"status": "retired"})
    session.commit()
    assert not belonging.is_unknown(session, new.id)
    assert "No document has a vector yet" in lead.get(f"/labels/{new.id}/belonging").text


def test_without_others_nothing_is_ticked(sign_in_as: SignInAs, session: Session, new: Label) -> None:
    ann = people.add(session, "rev-ann", "reviewer", "tests")
    own, waits = ([add_document(session, f"{name} {i}") for i in range(3)] for name in ("own", "waits"))
    add_vectors(session, dict.fromkeys([*own, *waits], VIRTUAL))
    assert belonging.may_belong(session, new.id) == ([], 0, 0)
    decide(session, own, ann, new)
    found = belonging.may_belong(session, new.id)
    assert ({each.id for each in found.documents}, found.own, found.may_belong) == (set(waits), 3, 0)
    assert {(each.elsewhere, each.margin <= 0) for each in found.documents} == {(None, True)}
    page = sign_in_as("lead").get(f"/labels/{new.id}/belonging").text
    assert ("100 % alike" in page, "elsewhere</p>" in page) == (True, False)
    assert not any(ticks(page).values())


def test_another_topic_of_the_same_kind_leads_to_the_label(
    sign_in_as: SignInAs, session: Session, settings: Settings, new: Label, cards: dict[str, list[int]]
) -> None:
    session.execute(
        text("UPDATE predictions SET fit = 0.2 WHERE document_id = ANY(:ids)"),
        {"ids": [*cards["waits"], *cards["cash"]]},
    )
    more = [add_document(session, f"cash again {i}", "low_fit") for i in range(3)]
    session.execute(text("UPDATE predictions SET fit = 0.2 WHERE document_id = ANY(:ids)"), {"ids": more})
    add_vectors(session, dict.fromkeys(more, CASH))
    session.commit()
    group_topics(settings)
    session.rollback()
    lead = sign_in_as("lead")
    pages = [lead.get(f"/topics/{id_}").text for id_ in session.scalars(select(Topic.id).order_by(Topic.id))]
    [virtual] = [page for page in pages if "none fits x" in page and "Make it a label" in page]
    assert f'of them are more like <a href="/labels/{new.id}"><bdi>virtual card</bdi></a>' in virtual
    assert f'<option value="{new.id}" selected>' in virtual
    [cash] = [page for page in pages if "cash again 1" in page and "Make it a label" in page]
    assert "more like" not in cash
    assert "selected>" not in cash


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits(
    browser: Any, web: httpx.Client, session: Session, new: Label, cards: dict[str, list[int]], width: int
) -> None:
    link = people.make_link(session, people.add(session, "lea", "lead", "tests"), "tests")
    session.commit()
    with signed_in(browser, str(web.base_url), link, width, "light") as page:
        page.goto(f"{web.base_url}/labels/{new.id}/belonging")
        assert is_fit_for_all(page, width)
        page.click("text=Preview")
        assert page.inner_text("h2 >> nth=0") == "Preview"
        page.click("text=Decide 9 documents")
        assert page.inner_text("h2 >> nth=0") == "Decided"
        assert is_fit_for_all(page, width)
