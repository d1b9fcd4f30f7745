"""Why a label, in the web: coloured words at the desk, in a real Chromium, and the words of a label."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import chromium, open_link
from filled_queue import add_document, add_labels
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from tiny_bert import build_tiny_checkpoint

from classifier.store import model_store
from db.models import Explanation, ModelVersion
from db.queries import explanations, people
from db.queries.explanations import Explained, Key
from sortline.settings import Settings
from web.explanations.explained import heaviest_words, label_words, parts
from worker.explain_task import explain_document
from worker.explainer import ExplainerProcess

browser = pytest.fixture(scope="module")(chromium)
HOSTILE = "where is my <b>card</b> \u202epay\u202c & the cash machine ate it please help"


@pytest.fixture
def labels(session: Session, tmp_path: Path) -> list[int]:
    """Three labels that a real tiny model tells apart."""
    ids = [label.id for label in add_labels(session)]
    stored = build_tiny_checkpoint(tmp_path / "checkpoint", label_ids=ids)
    version = session.scalars(select(ModelVersion)).one()
    version.checkpoint_uri, version.sha256 = str(stored.folder), stored.sha256
    session.commit()
    return ids


@pytest.fixture
def work(session: Session, settings: Settings) -> Iterator[Callable[[], None]]:
    """Does what a worker does: explains all that waits."""
    process = ExplainerProcess(model_store(settings), settings.threads, settings.explain_keep_s)

    def work() -> None:
        session.rollback()
        while key := explanations.next_waiting(session):
            session.rollback()
            explain_document(settings.postgres_url, process, key)

    yield work
    process.end()


def ask(browser: httpx.Client, path: str, **body: object) -> httpx.Response:
    return browser.post(f"/desk/{path}", json=body, headers={"x-csrf-token": browser.csrf})


def token(session: Session) -> int:
    session.rollback()
    return int(session.scalar(text("SELECT lease_token FROM queue_items")) or 0)


def test_the_desk_shows_why(
    browser: Any, web: httpx.Client, session: Session, labels: list[int], work, eventually: Callable[..., None]
) -> None:
    add_document(session, HOSTILE)
    link = people.make_link(session, people.add(session, "ann", "reviewer", "tests"), "tests")
    session.commit()
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(10_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    open_link(page, f"{web.base_url}/sign-in/{link}")
    page.goto(f"{web.base_url}/desk")
    page.wait_for_selector("article.document:not([hidden])")
    plain = page.locator("article .text").inner_text()

    page.keyboard.press(".")
    page.get_by_text("A worker").wait_for()
    eventually(lambda: session.rollback() or explanations.next_waiting(session) is not None, 10)
    work()
    page.wait_for_selector("article .text mark")
    assert page.locator("article .text").inner_text() == plain
    assert page.locator("article .text").locator("b, script").count() == 0
    assert page.locator(".why [role=status]").inner_text().startswith(("For", "Against"))
    assert page.locator("#why").get_attribute("aria-pressed") == "true"
    assert page.locator("[data-why][aria-pressed=true]").get_attribute("data-why") == str(labels[0])
    assert page.locator("[style]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.keyboard.press(",")
    eventually(lambda: session.rollback() or explanations.next_waiting(session) is not None, 10)
    work()
    page.wait_for_selector(f"[data-why='{labels[1]}'][aria-pressed=true]")
    page.wait_for_selector("article .text mark")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.keyboard.press(".")
    page.wait_for_selector("article .text mark", state="detached")
    page.keyboard.press(".")
    page.wait_for_selector("article .text mark")
    assert asked == []  # what was seen once is shown at once
    page.keyboard.press("Enter")
    eventually(lambda: session.rollback() or session.scalar(text("SELECT count(*) FROM reviews")) == 1, 10)
    assert session.scalar(text("SELECT shown_prediction ->> 'label_id' FROM reviews")) == str(labels[0])
    assert errors == []
    context.close()


def test_a_hidden_prediction_is_not_explained(sign_in_as, session: Session, labels: list[int]) -> None:
    document_id = add_document(session, HOSTILE, reason="audit", sampling_probability=0.1)
    ann = sign_in_as("reviewer", "ann")
    assert 'data-explains="0"' in ask(ann, "next").json()["html"]
    answer = ask(ann, "explanation", document_id=document_id, token=token(session), label_id=labels[0])
    assert answer.status_code == 403
    assert "hidden" in answer.json()["detail"]
    assert session.scalars(select(Explanation)).all() == []


def test_only_what_is_before_a_reviewer_is_explained(sign_in_as, session: Session, labels: list[int]) -> None:
    document_id = add_document(session, HOSTILE)
    ann, bob = sign_in_as("reviewer", "ann"), sign_in_as("reviewer", "bob")
    assert 'data-explains="1"' in ask(ann, "next").json()["html"]
    wanted = {"document_id": document_id, "token": token(session), "label_id": labels[0]}
    assert ask(ann, "explanation", **wanted).json() == {"state": "waiting", "error": None}
    assert ask(bob, "explanation", **wanted).status_code == 409
    assert ask(ann, "explanation", **wanted | {"token": 0}).status_code == 409
    assert ask(ann, "explanation", **wanted | {"label_id": 99}).status_code == 404
    assert ask(ann, "explanation", **wanted | {"label_id": 2**40}).status_code == 422
    assert ann.post("/desk/explanation", json=wanted).status_code == 403
    key = Key(document_id, 1, labels[0], "whole")
    explanations.claim(session, key)
    explanations.fail(session, key, "the checkpoint is gone")
    session.commit()
    assert ask(ann, "explanation", **wanted).json() == {"state": "failed", "error": "the checkpoint is gone"}


def test_the_words_of_a_label(sign_in_as, session: Session, labels: list[int], work) -> None:
    for i in range(4):
        add_document(session, f"where is my card {i} <i>", reason=None)
    ann = sign_in_as("reviewer", "ann")
    path = f"/labels/{labels[0]}/words"
    assert "No document has been explained yet" in ann.get(path).text
    assert ann.post(path).status_code == 403
    assert "4 documents wait to be explained" in ann.send_form(path).text
    work()
    shown = ann.get(path).text
    assert "<b>4</b> documents" in shown
    assert "<bdi>card</bdi>" in shown
    assert "wait to be explained" not in shown
    assert ann.get("/labels/99/words").status_code == 404
    session.execute(text("UPDATE model_versions SET status = 'retired'"))
    session.commit()
    assert "No model version is active" in ann.get(path).text
    assert ann.send_form(path).status_code == 409


@pytest.mark.parametrize(
    ("answered", "explained", "said"),
    [
        ("whole", "whole", "in its form whole, which answered"),
        ("int8", "whole", "which can&#39;t be explained itself. This explains its form whole"),
        ("student-int8", "student", "This explains its form student"),
        ("student", "student", "in its form student, which answered"),
        (None, "whole", "which of its forms answered was not noted"),
    ],
)
def test_an_explanation_is_of_the_form_that_answered_and_says_so(
    sign_in_as, session: Session, labels: list[int], answered: str | None, explained: str, said: str
) -> None:
    document_id = add_document(session, HOSTILE, form=answered)
    ann = sign_in_as("reviewer", "ann")
    ask(ann, "next")
    wanted = {"document_id": document_id, "token": token(session), "label_id": labels[0]}
    other = Key(document_id, 1, labels[0], "student" if explained == "whole" else "whole")
    explanations.ask(session, other, 15, 90)
    explanations.claim(session, other)
    explanations.finish(session, other, {"words": []}, 0.0)
    session.commit()

    assert ask(ann, "explanation", **wanted).json()["state"] == "waiting"  # the other form's is not its

    key = Key(document_id, 1, labels[0], explained)
    explanations.claim(session, key)
    found = {"words": [], "added": [], "windows": 1, "explained": 1, "completeness_error": 0.0}
    explanations.finish(session, key, found, 0.0)
    session.commit()
    html = ask(ann, "explanation", **wanted).json()["html"].replace("'", "&#39;")
    assert said in html


FOUND = {"words": [], "added": [], "windows": 1, "explained": 1, "completeness_error": 0.0}


def explained(session: Session, key: Key) -> None:
    explanations.ask(session, key, 15, 90)
    explanations.claim(session, key)
    explanations.finish(session, key, FOUND, 0.0)
    session.commit()


def test_an_explanation_is_of_the_revision_that_is_shown(sign_in_as, session: Session, labels: list[int]) -> None:
    document_id = add_document(session, HOSTILE)
    for earlier in (0, 1):
        explained(session, Key(document_id, 1, labels[0], "whole", earlier))
    session.execute(text("UPDATE predictions SET revision = 2, form = 'whole'"))
    session.commit()
    ann = sign_in_as("reviewer", "ann")
    ask(ann, "next")
    session.execute(text("UPDATE predictions SET revision = 3"))  # what others are shown since
    session.commit()
    wanted = {"document_id": document_id, "token": token(session), "label_id": labels[0]}

    assert ask(ann, "explanation", **wanted).json() == {"state": "waiting", "error": None}
    assert explanations.next_waiting(session) == Key(document_id, 1, labels[0], "whole", 2)
    session.commit()

    explained(session, Key(document_id, 1, labels[0], "whole", 2))
    html = ask(ann, "explanation", **wanted).json()["html"]
    assert "in its form whole, with the last layer of its revision 2, which answered" in html


def test_the_words_of_a_label_are_those_of_the_newest_predictions_revision(
    sign_in_as, session: Session, labels: list[int]
) -> None:
    document_id = add_document(session, "card", reason=None)
    explained(session, Key(document_id, 1, labels[0], "whole", 1))
    session.execute(text("UPDATE predictions SET revision = 2"))
    explanations.ask_sample(session, 1, labels[0], 50, 90)
    assert explanations.next_waiting(session) == Key(document_id, 1, labels[0], "whole", 2)
    assert explanations.of_label(session, 1, labels[0], 10, 100) == []
    explained(session, Key(document_id, 1, labels[0], "whole", 2))
    assert len(explanations.of_label(session, 1, labels[0], 10, 100)) == 1


def test_the_words_of_a_label_are_those_of_the_forms_that_answered(
    sign_in_as, session: Session, labels: list[int]
) -> None:
    answered = {"int8": ["a", "b"], "student": ["c"]}
    for form, texts in answered.items():
        for each in texts:
            add_document(session, each, reason=None, form=form)
    explanations.ask_sample(session, 1, labels[0], 50, 90)
    while key := explanations.next_waiting(session):
        explanations.claim(session, key)
        explanations.finish(session, key, {"words": [(0, 1, 1.0)]}, 0.0)
    unused = Key(1, 1, labels[0], "student")  # the first document was answered by int8 since
    explanations.ask(session, unused, 15, 90)
    explanations.claim(session, unused)
    explanations.finish(session, unused, {"words": [(0, 1, 1.0)]}, 0.0)
    session.commit()

    found = explanations.of_label(session, 1, labels[0], 10, 100)
    assert [(each.text, each.form) for each in found] == [("c", "student"), ("b", "whole"), ("a", "whole")]
    shown = sign_in_as("reviewer", "ann").get(f"/labels/{labels[0]}/words").text
    assert "Each is explained in the form that answered it: 1 in student, 2 in whole." in shown


def test_colours_follow_the_weights_and_nothing_of_the_text_is_lost() -> None:
    shown = parts("a bad <i> card", [(0, 1, 0.05), (2, 5, -0.5), (10, 14, 1.0)])
    assert [part.step for part in shown] == [0, -2, 0, 4, 0]
    assert "".join(part.text for part in shown) == "a bad &lt;i&gt; card"
    assert [part.step for part in parts("all alike", [(0, 3, 1e-9), (4, 9, 0.0)])] == [0]
    many = "x " * 5000
    assert sum(part.step != 0 for part in parts(many, [(2 * i, 2 * i + 1, 1.0 + i) for i in range(5000)])) <= 1000


def test_what_weighs_most_is_told_in_words() -> None:
    found = {"words": [(0, 4, 3.0), (5, 9, 1.0), (10, 13, -1.0)], "added": [["URL", 1.0]]}
    speaks_for, against = heaviest_words("card card <b>", found)
    assert [(each.text, round(each.share, 2)) for each in speaks_for] == [("card", 0.67), ("URL", 0.17)]
    assert [each.text for each in against] == ["&lt;b&gt;"]
    assert heaviest_words("card", {"words": [(0, 4, 1e-9)], "added": []}) == ([], [])


def test_each_document_counts_alike_in_a_labels_words() -> None:
    explained = [
        Explained("Card here", {"words": [(0, 4, 30.0), (5, 9, -10.0)], "added": []}, 0.0, "whole"),
        Explained("card, card", {"words": [(0, 4, 0.1), (4, 5, 0.2), (6, 10, 0.1)], "added": []}, 0.0, "whole"),
    ]
    speaks_for, against = label_words(explained, 10)
    assert [(each.text, each.share, each.documents) for each in speaks_for] == [("card", pytest.approx(0.625), 2)]
    assert [(each.text, each.share) for each in against] == [("here", pytest.approx(-0.125))]
    assert label_words([], 10) == ([], [])
