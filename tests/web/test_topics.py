"""The pages of topics: what a lead makes of them, what reviewers may, and what is said when they have changed."""

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

from db.models import Grouping, Label, QueueItem, Review
from db.queries import people, topics
from housekeeping.topics_process import group_topics
from sortline.settings import Settings
from tests.web.conftest import Browser

SignInAs = Callable[..., Browser]
browser = pytest.fixture(scope="module")(chromium)


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


@pytest.fixture
def topic(session: Session, settings: Settings) -> int:
    """The largest of the topics of 60 documents about cards, and of 20 copies of another text."""
    ids = [add_document(session, f"my <b>card</b> is late {i}") for i in range(60)]
    copies = [add_document(session, "cheap watches") for _ in range(20)]
    add_vectors(session, {id_: [1, 0.001 * (id_ % 3)] for id_ in ids} | {id_: [0, 1] for id_ in copies})
    group_topics(settings)
    session.rollback()
    return topics.listing(session)[0].id


def ticks(page: str) -> list[int]:
    return [int(id_) for id_ in re.findall(r'name="tick-(\d+)"[^>]* checked', page)]


def decided(session: Session) -> dict[int, int | None]:
    session.rollback()
    return {row.document_id: row.label_id for row in session.scalars(select(Review).where(Review.action != "undo"))}


def shown_ids(page: str) -> str:
    found = re.search(r'name="shown" value="([\d,]*)"', page)
    assert found
    return found[1]


def test_topics_are_listed_with_words_sizes_and_texts(sign_in_as: SignInAs, topic: int) -> None:
    page = sign_in_as("reviewer").get("/topics").text
    assert "cheap, watches" in page
    assert page.count("copies of one text") == 1
    assert page.count("cheap watches</bdi></a>") == 1, "one text of copies is enough"
    assert "my &lt;b&gt;card&lt;/b&gt; is late" in page
    assert "Grouped" in page
    assert '<a href="/desk">desk</a> · <a href="/topics">topics</a>' in page


def test_a_topic_is_made_a_label(sign_in_as: SignInAs, session: Session, topic: int) -> None:
    ann = sign_in_as("lead")
    page = ann.get(f"/topics/{topic}").text
    here = ticks(page)
    kept = here[1:]
    form = {f"tick-{id_}": "on" for id_ in kept} | {"name": "late card", "shown": shown_ids(page), "once": "one"}
    preview = ann.send_form(f"/topics/{topic}/label", **form)
    assert f"{len(kept)} documents</b> will be decided as <b><bdi>late card</bdi>" in preview.text
    assert f'<a href="/topics/{topic}">The topic that they were in</a>' in preview.text
    assert decided(session) == {}
    ann.send_form(f"{preview.url.path}/decide")
    label = session.scalars(select(Label).where(Label.name == "late card")).one()
    assert decided(session) == dict.fromkeys(kept, label.id)
    assert ticks(ann.get(f"/topics/{topic}").text) != here
    ann.send_form(f"{preview.url.path}/undo")
    session.rollback()
    assert len(session.scalars(select(QueueItem)).all()) == 80


def test_a_refused_label_keeps_the_form_and_changes_nothing(sign_in_as: SignInAs, session: Session, topic: int) -> None:
    ann = sign_in_as("lead")
    here = {f"tick-{id_}": "on" for id_ in ticks(ann.get(f"/topics/{topic}").text)}
    answer = ann.send_form(f"/topics/{topic}/label", name=NAMES[0].upper(), guideline="what <b>", **here)
    assert (answer.status_code, "looks like" in answer.text, "what &lt;b&gt;" in answer.text) == (409, True, True)
    assert "add it all the same" in answer.text
    assert ann.send_form(f"/topics/{topic}/label", name=NAMES[0], **here).status_code == 409
    assert ann.send_form(f"/topics/{topic}/label", name=" ", **here).status_code == 422
    answer = ann.send_form(f"/topics/{topic}/label", name="new one")
    assert (answer.status_code, "Tick at least one document" in answer.text) == (422, True)
    session.rollback()
    assert len(session.scalars(select(Label)).all()) == len(NAMES)


def test_a_topic_is_put_aside_and_comes_back(sign_in_as: SignInAs, session: Session, topic: int) -> None:
    ann = sign_in_as("lead")
    page = ann.send_form(f"/topics/{topic}/aside")
    assert (page.url.path, "Put aside: 1" in page.text) == ("/topics", True)
    assert "Put aside" not in ann.send_form(f"/topics/{topic}/aside", back="1").text


def test_reviewers_look_and_ask_for_a_new_grouping(sign_in_as: SignInAs, session: Session, topic: int) -> None:
    bob = sign_in_as("reviewer")
    assert "tick-" not in bob.get(f"/topics/{topic}").text
    assert bob.send_form(f"/topics/{topic}", label="1").status_code == 403
    assert "Asked for" in bob.send_form("/topics/again").text
    bob.send_form("/topics/again")
    session.rollback()
    assert len(session.scalars(select(Grouping).where(Grouping.ended_at.is_(None))).all()) == 2, "one of each kind"


def test_a_topic_that_is_gone_is_said(sign_in_as: SignInAs, session: Session, settings: Settings, topic: int) -> None:
    group_topics(settings)
    ann = sign_in_as("lead")
    answer = ann.get(f"/topics/{topic}")
    assert (answer.status_code, "grouped again meanwhile" in answer.text) == (404, True)
    assert ann.send_form(f"/topics/{topic}", which="all").status_code == 404
    assert ann.send_form(f"/topics/{topic}/aside").status_code == 404


def test_without_documents_the_page_says_what_topics_need(sign_in_as: SignInAs) -> None:
    page = sign_in_as("lead").get("/topics").text
    assert "Not grouped yet" in page
    assert "at least 20 undecided documents" in page


@pytest.mark.parametrize("width", [1280, 390])
def test_the_pages_fit(browser: Any, web: httpx.Client, session: Session, topic: int, width: int) -> None:
    link = people.make_link(session, people.add(session, "ann", "lead", "tests"), "tests")
    session.commit()
    document = session.scalar(text("SELECT document_id FROM topic_documents LIMIT 1"))
    with signed_in(browser, str(web.base_url), link, width, "light") as page:
        for path in ("topics", f"topics/{topic}", f"documents/{document}/like"):
            page.goto(f"{web.base_url}/{path}")
            assert is_fit_for_all(page, width)


def test_the_whole_topic_is_taken_without_what_was_unticked(
    sign_in_as: SignInAs, session: Session, settings: Settings, labels: list[int]
) -> None:
    ids = [add_document(session, "one text") for _ in range(70)]
    add_vectors(session, {id_: [1] for id_ in ids})
    group_topics(settings)
    session.rollback()
    [topic] = topics.listing(session)
    ann = sign_in_as("lead")
    page = ann.get(f"/topics/{topic.id}").text
    assert "70 undecided, all copies of one text; the 50 most typical are shown" in page
    here = ticks(page)
    form = {f"tick-{id_}": "on" for id_ in here[2:]} | {"which": "all", "shown": shown_ids(page), "label": labels[1]}
    preview = ann.send_form(f"/topics/{topic.id}", **form)
    assert "<b>68 documents</b> will be decided" in preview.text
    ann.send_form(f"{preview.url.path}/decide")
    assert decided(session) == dict.fromkeys(set(ids) - set(here[:2]), labels[1])
