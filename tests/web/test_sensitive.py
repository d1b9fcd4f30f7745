"""Texts of sensitive labels: on no page before somebody asks to see them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from browser import chromium
from desk_pages import SHOWN, current, opening, press
from filled_queue import add_document, add_labels, unlike
from reports import add_report
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import DeadLetter, ModelVersion
from db.queries.sensitive import is_sensitive_letter, sensitive_documents, sensitive_labels

browser = pytest.fixture(scope="module")(chromium)
open_desk = pytest.fixture(opening)
FIRST, SECOND = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05)
SECRET = "my diagnosis"


@pytest.fixture
def labels(session: Session) -> list[int]:
    """The first is sensitive; the third was merged into it."""
    found = [label.id for label in add_labels(session)]
    session.execute(text("UPDATE labels SET sensitive = true WHERE id = :id"), {"id": found[0]})
    session.execute(
        text("UPDATE labels SET merged_into_id = :id, archived_at = now() WHERE id = :of"),
        {"id": found[0], "of": found[2]},
    )
    session.commit()
    return found


def decide(session: Session, document_id: int, label_id: int) -> int:
    user = session.scalar(
        text("INSERT INTO users (name, role) VALUES (:n, 'reviewer') RETURNING id"), {"n": f"u{document_id}"}
    )
    insert = "INSERT INTO reviews (document_id, reviewer_id, action, label_id, reason) VALUES (:d, :u, 'correct', :l, 'doubtful') RETURNING id"
    found = session.scalar(text(insert), {"d": document_id, "u": user, "l": label_id})
    session.commit()
    return int(found or 0)


def test_which_texts_are_sensitive(session: Session, labels: list[int]) -> None:
    predicted, other, decided, merged, taken_back = (
        add_document(session, unlike(i), probabilities=FIRST if i == 0 else SECOND) for i in range(5)
    )
    decide(session, decided, labels[0])
    decide(session, merged, labels[2])
    review = decide(session, taken_back, labels[0])
    undo = "INSERT INTO reviews (document_id, reviewer_id, action, reason, supersedes_id) SELECT document_id, reviewer_id, 'undo', reason, id FROM reviews WHERE id = :id"
    session.execute(text(undo), {"id": review})
    session.commit()
    assert sensitive_documents(session, [predicted, other, decided, merged, taken_back, 999]) == {
        predicted,
        decided,
        merged,
    }
    assert sensitive_labels(session) == {"card arrival", "exchange rate"}
    session.execute(text("UPDATE labels SET sensitive = false"))
    assert sensitive_documents(session, [predicted, decided]) == frozenset()


def seen(html: str) -> str:
    """A page without what is folded away or blurred."""
    folded = re.sub(r"<details class=\"blur\">.*?</details>", "", html, flags=re.DOTALL)
    return re.sub(
        r"<(a|span|div)[^>]* class=\"[^\"]*blurred[^\"]*\".*?</\1>|<(a|span|div) class=\"[^\"]*blurred[^\"]*\".*?</\2>",
        "",
        folded,
        flags=re.DOTALL,
    )


def test_no_page_shows_it_unasked(sign_in_as: Any, session: Session, labels: list[int]) -> None:
    document = add_document(session, f"{SECRET} one", probabilities=FIRST, name="a")
    other = add_document(session, f"{SECRET} two", probabilities=SECOND, name="b", reason=None)
    decide(session, other, labels[0])
    session.add(DeadLetter(
        lane="live", entry_id="9-0", source="mail", external_id="a", reason="bad_entry", detail="d", attempts=1,
        raw=b'[["text", "%s three"]]' % SECRET.encode(),
    ))  # fmt: skip
    session.commit()
    letter = session.scalars(select(DeadLetter.id)).one()
    assert is_sensitive_letter(session, letter)
    lead = sign_in_as("lead")
    bulk = lead.send_form("/documents/bulk", query="predicted=card arrival", label=str(labels[1]))
    pages: dict[str, str] = {"bulk": bulk.text}
    for path in (
        "/documents",
        f"/documents/{document}",
        f"/documents/{other}",
        f"/dead-letters/{letter}",
        "/dead-letters",
    ):
        pages[path] = lead.get(path).text
    pages["next"] = lead.post("/desk/next", json={}, headers={"x-csrf-token": lead.csrf}).json()["html"]
    csv = f"text,label\n{SECRET} four,card arrival\nsomething else,cash withdrawal\n"
    pages["import"] = lead.post("/import", data={"csrf": lead.csrf}, files={"file": ("a.csv", csv)}).text
    for path, html in pages.items():
        if path != "/dead-letters":
            assert SECRET in html, path
        assert SECRET not in seen(html), path
    assert "something else" in seen(pages["import"])
    for html in re.findall(r'<a [^>]*class="blurred".*?</a>', "".join(pages.values())):
        assert 'aria-label="' in html
        assert 'aria-hidden="true"' in html


def test_the_report_says_where_it_can_be_read(
    sign_in_as: Any, session: Session, labels: list[int], tmp_path: Any
) -> None:
    document = add_document(session, SECRET, probabilities=FIRST)
    plain = add_document(session, "a plain text", probabilities=SECOND)
    add_report(session, session.scalars(select(ModelVersion)).one(), tmp_path, [document, plain])
    shown = sign_in_as("reviewer").get("/model-versions/1/report").text
    assert "a plain text" in shown and SECRET not in shown
    assert f"Its label is sensitive; read it on the page of document {document}." in shown


def test_the_last_decisions_are_blurred_until_somebody_asks(
    open_desk: Callable[..., Any], session: Session, labels: list[int], eventually: Callable[..., None]
) -> None:
    add_document(session, f"{SECRET} one", probabilities=FIRST)
    add_document(session, f"{SECRET} two", probabilities=SECOND)
    add_document(session, unlike(3), probabilities=SECOND)
    page = open_desk("ann")
    page.wait_for_selector(SHOWN)
    for _ in range(3):  # the first is predicted so, the second decided so, the third neither
        secret = SECRET in page.locator(f"{SHOWN} .text").inner_text()
        choices = page.locator(f"{SHOWN} [data-label]").all()
        sought = next(
            i
            for i, each in enumerate(choices)
            if int(str(each.get_attribute("data-label"))) == labels[0 if secret else 1]
        )
        press(page, str(sought + 1))
    page.wait_for_selector("#last li:nth-child(3)[data-review]")
    for _ in ("as it was decided", "loaded again"):
        assert page.locator("#last li").count() == 3
        blurred = page.locator("#last .blurred")
        assert sorted(blurred.all_inner_texts()) == [f"{SECRET} one", f"{SECRET} two"]
        for each in blurred.all():
            assert "blur" in each.locator("bdi").evaluate("each => getComputedStyle(each).filter")
            assert each.locator("bdi").get_attribute("aria-hidden") == "true"
        page.reload()
        page.wait_for_selector("#last li")
    show = page.get_by_role("button", name="Show the text: its label is sensitive").first
    show.focus()
    page.keyboard.press("Enter")
    assert page.locator("#last .blurred").count() == 1
    assert page.locator("#last [aria-hidden]").count() == 1
    assert page.errors == []


def test_at_the_desk_space_shows_it_to_eyes_and_screen_readers(
    open_desk: Callable[..., Any], session: Session, labels: list[int]
) -> None:
    add_document(session, SECRET, probabilities=FIRST)
    page = open_desk("ann")
    page.wait_for_selector(SHOWN)
    assert page.locator(f"{SHOWN} .text bdi").get_attribute("aria-hidden") == "true"
    page.keyboard.press("Space")
    page.wait_for_selector(f"{SHOWN} .text:not(.blurred)")
    assert page.locator(f"{SHOWN} [aria-hidden]").count() == page.locator(f"{SHOWN} meter").count()
    assert current(page)
