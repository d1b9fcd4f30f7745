"""Labelled files by the web: looked at, imported as they were looked at, once; and what is refused."""

import io
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from browser import chromium, open_link
from filled_queue import add_labels
from labelled_lines import labelled_lines
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.connection import get_engine
from db.models import AuditEvent, Document, ImportFile
from db.queries import import_files, labels, merge_labels, people
from db.queries.labelled import labelled_documents
from db.session import session as open_session
from migrations.upgrade import migrate
from sortline.settings import Settings
from tests.conftest import Servers
from tests.web.conftest import Browser
from web.imports.uploads import Uploads

SignInAs = Callable[..., Browser]
browser = pytest.fixture(scope="module")(chromium)
pytestmark = pytest.mark.usefixtures("copies")

CSV = """Betreff,Kategorie
where is my card,card
the machine ate <b>it</b>,cash
,cash
where is my card,lost
my card is where,old
"""


@pytest.fixture
def lead(sign_in_as: SignInAs) -> Browser:
    return sign_in_as("lead", "ann")


def send(browser: Browser, content: str | bytes, name: str = "a.csv", **fields: str) -> httpx.Response:
    raw = content.encode() if isinstance(content, str) else content
    return browser.post("/import", data={"csrf": browser.csrf, **fields}, files={"file": (name, io.BytesIO(raw))})


def token(page: httpx.Response) -> str:
    return page.text.partition('name="token" value="')[2].partition('"')[0]


def count(session: Session, table: type) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_file_is_looked_at_and_imported_once(lead: Browser, session: Session) -> None:
    add_labels(session, ["cash", "old", "new one"])
    merge_labels.merge(session, 2, 3, "tests")
    session.commit()
    asked = send(lead, CSV, "../x/My file.csv")
    assert "Which column holds the text" in asked.text
    assert '<option value="Betreff">Betreff</option>' in asked.text

    chosen = {"token": token(asked), "text": "Betreff", "label": "Kategorie"}
    page = lead.send_form("/import/preview", **chosen)
    for shown in (
        "<bdi>My file.csv</bdi>", "5 rows", "<b>4 examples</b>", "&lt;b&gt;it&lt;/b&gt;", "line 4: <bdi>the text is empty",
        "1 repeated row; of the rows with the same text and id, the last one counts", "Read as delimited text (comma", '<bdi>lost</bdi></td><td class="number">1</td><td><span class="pill active">new',
        "counts as <bdi>new one</bdi>",
    ):  # fmt: skip
        assert shown in page.text
    assert count(session, Document) == 0

    done = lead.send_form("/import/confirm", **chosen, split="test", id="")
    assert "Imported 3 new documents and 3 new decisions from 5 rows" in done.text
    assert [document.split for document in labelled_documents(session)] == ["test"] * 3
    again = lead.send_form("/import/confirm", **chosen)
    assert (again.status_code, "this file is gone" in again.text) == (422, True)
    assert (count(session, Document), count(session, ImportFile)) == (3, 0)
    audited = session.scalars(select(AuditEvent).where(AuditEvent.action == "imported")).one()
    assert (audited.actor, audited.detail["file"], audited.detail["documents"]) == ("user:ann", "My file.csv", 3)


def test_a_file_belongs_to_who_sent_it_and_not_for_long(lead: Browser, sign_in_as: SignInAs, session: Session) -> None:
    lines = "\n".join(labelled_lines(5))
    kept = token(send(lead, lines))
    other = sign_in_as("lead", "bob")
    assert "this file is gone" in other.send_form("/import/confirm", token=kept).text
    assert other.send_form("/import/leave", token=kept).status_code == 200
    assert count(session, ImportFile) == 1
    session.execute(text("UPDATE import_files SET created_at = now() - interval '61 minutes'"))
    session.commit()
    assert "this file is gone" in lead.send_form("/import/confirm", token=kept).text
    import_files.prune(session)
    session.commit()
    assert count(session, ImportFile) == 0
    send(lead, lines)
    assert count(session, ImportFile) == 1  # in place of the one before
    lead.send_form("/import/leave", token=token(send(lead, lines)))
    assert (count(session, ImportFile), count(session, Document)) == (0, 0)


def test_only_leads_and_only_from_our_page(sign_in_as: SignInAs, lead: Browser, web: httpx.Client) -> None:
    reviewer = sign_in_as("reviewer")
    assert reviewer.get("/import").status_code == 403
    assert send(reviewer, CSV).status_code == 403
    assert web.post("/import", files={"file": ("a.csv", b"x")}, follow_redirects=False).status_code == 303
    stale = lead.post("/import", data={"csrf": "no"}, files={"file": ("a.csv", b"x")})
    assert stale.status_code == 403
    headers = {"origin": "https://evil.example"}
    wrong = lead.post("/import", data={"csrf": lead.csrf}, files={"file": ("a.csv", b"x")}, headers=headers)
    assert wrong.status_code == 403


@pytest.mark.parametrize(
    ("content", "name", "fields", "why"),
    [
        (b"", "a.csv", {}, "The file is empty"),
        (
            b"text,label\n\xff,b\n",
            "a.csv",
            {"encoding": "utf-8"},
            "a.csv: line 2 can&#39;t be read as utf-8: byte 0xFF",
        ),
        (
            b"text,label\n",
            "a.csv",
            {"encoding": "klingon"},
            "the encoding &#39;klingon&#39; is unknown; common ones are utf-8",
        ),
        (b"PAR1 and no more", "b.parquet", {}, "b.parquet is a Parquet file, but can&#39;t be read"),
        (b'[{"text": "a"},', "c.json", {}, "c.json: the JSON array breaks off"),
        (b"%PDF-1.7 words", "d.csv", {}, "d.csv is a PDF document"),
        (b"PK\x03\x04 no archive", "e.xlsx", {}, "e.xlsx is a damaged zip archive"),
        (b"text,label\na,b\n", "a.csv", {"source": "x" * 101}, "a source may have at most 100"),
    ],
)
def test_what_can_not_be_read_is_said_in_one_sentence(
    lead: Browser, session: Session, content: bytes, name: str, fields: dict[str, str], why: str
) -> None:
    page = send(lead, content, name, **fields)
    assert (page.status_code, why in page.text, "/tmp" in page.text) == (422, True, False)


def test_other_kinds_of_files_and_rows_without_a_header(lead: Browser, settings: Settings) -> None:
    for content, name, fields in (
        ('{"text": "one", "label": "a"}\n{"text": "two", "label": "b"}', "a.jsonl", {}),
        ("text\tlabel\none\ta\ntwo\tb", "a.tsv", {}),
        ("text;label\none;a\ntwo;b".encode("utf-16"), "a.csv", {}),
    ):
        assert "<b>2 examples</b>" in send(lead, content, name, **fields).text
    bare = send(lead, "one,a\ntwo,b", no_header="on")
    page = lead.send_form("/import/preview", token=token(bare), text="1", label="2", no_header="on")
    assert "<b>2 examples</b>" in page.text
    assert 'name="no_header"' in page.text


def test_a_file_over_the_limit_is_refused(lead: Browser, settings: Settings, session: Session) -> None:
    assert "At most 16 MiB" in lead.get("/import").text
    large = {"file": ("a.csv", b"x" * (settings.max_body_bytes + 1))}
    answer = lead.post("/import", data={"csrf": lead.csrf}, files=large, headers={"Accept": "text/html"})
    assert (answer.status_code, "<h2>This is too large</h2>" in answer.text) == (413, True)
    assert "larger than the limit of 16,777,216 bytes" in answer.text and ">ann</bdi>" in answer.text
    assert count(session, ImportFile) == 0


def test_the_page_on_a_phone_and_for_a_screen_reader(
    browser: Any, web: httpx.Client, session: Session, tmp_path: Any
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    user = people.add(session, "ann", "lead", "tests")
    labels.add(session, "card", "tests")
    link = people.make_link(session, user, "tests")
    session.commit()
    (tmp_path / "some.csv").write_text("\n".join([*labelled_lines(30), "x" * 500 + ",card", ",cash"]))
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()

    def check() -> None:
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

    open_link(page, f"{web.base_url}/sign-in/{link}")
    page.goto(f"{web.base_url}/import")
    check()
    page.set_input_files("#file", tmp_path / "some.csv")
    page.click("button:has-text('Preview')")
    page.wait_for_selector("text=31 examples")
    check()
    page.click("text=Import 31")
    page.wait_for_selector("text=31 new documents")
    check()
    context.close()


def test_a_guessed_encoding_is_shown_with_pieces_of_the_file_and_counts_once_it_is_confirmed(
    lead: Browser, session: Session
) -> None:
    page = send(
        lead, "text,label\nDer Geldautomat gab 50 € – zurückgebucht,Rückfrage\nalles gut,Lob\n".encode("cp1252")
    )
    assert "It was read as <b>cp1252</b>, which is a guess" in page.text
    assert "gab 50 € – zurückgebucht" in page.text
    assert count(session, Document) == 0

    done = lead.send_form("/import/confirm", token=token(page), encoding="cp1252")

    assert "Imported 2 new documents" in done.text
    assert session.scalar(select(Document.text).order_by(Document.id)) == "Der Geldautomat gab 50 € – zurückgebucht"


def test_doubts_refusals_and_what_was_chosen_stand_in_the_preview(lead: Browser) -> None:
    rows = [
        '"Hello,\nhe wrote ""no"" and "left", ok\nKim",complaint',
        *(f"late {i},{n}" for i, n in enumerate(["Late", "late"] * 3)),
    ]
    page = send(lead, "\n".join(["text;x,label", "text,label", *rows][1:]))

    assert "look like one label but count as two" in page.text
    assert "line 2: <bdi>up to line 4: a quote inside" in page.text
    folded = lead.send_form("/import/preview", token=token(page), fold="on")
    assert "labels read as another" in folded.text
    assert folded.text.count('class="pill active">new') == 1


def test_passages_that_many_texts_repeat_stand_in_the_preview_and_in_the_result(lead: Browser) -> None:
    footer = "This message is meant for the addressee alone; if you got it by mistake, please delete it and tell us so."
    lines = [line.rpartition(",") for line in labelled_lines(30)[1:]]
    file = "\n".join(["text,label", *(f'"{text.strip(chr(34))} {footer}",{label}' for text, _, label in lines)])

    page = send(lead, file)
    done = lead.send_form("/import/confirm", token=token(page))

    for shown in (page, done):
        assert "30 of 30 documents" in shown.text
        assert "This message is meant for the addressee alone" in shown.text


def test_a_file_without_labels_is_offered_as_documents_to_classify(
    lead: Browser, session: Session, settings: Settings, redis_client: Any
) -> None:
    page = send(lead, "id,text\n7,where is my card\n8,\n9,money back please\n", "documents.csv")
    assert "The file contains no labels." in page.text
    assert "Classify 2 texts" in page.text

    done = lead.send_form("/import/classify", token=token(page), source="crm")

    assert "Sent 2 documents to be classified" in done.text
    assert "line 3: <bdi>the text is empty" in done.text
    entries = [fields for _, fields in redis_client.xrange(settings.stream("bulk"))]
    assert [(entry[b"id"], entry[b"source"]) for entry in entries] == [(b"7", b"crm"), (b"9", b"crm")]
    assert "this file is gone" in lead.send_form("/import/classify", token=token(page)).text
    assert (count(session, Document), count(session, ImportFile)) == (0, 0)


@pytest.mark.parametrize("name", ["id", "label"])
def test_a_column_whose_values_nearly_all_differ_is_not_offered_as_labels(lead: Browser, name: str) -> None:
    rows = [f"x{i},{'card' if i % 2 else 'cash'},my message number {i}" for i in range(30)]
    page = send(lead, "\n".join([f"{name},kind,text", *rows]))
    offered = page.text.partition('<select id="label"')[2].partition("</select>")[0]
    assert "30 texts without a label" in page.text and "Classify 30 texts" in page.text
    assert ">kind</option>" in offered and f">{name}</option>" not in offered and ">text</option>" not in offered
    again = lead.send_form("/import/preview", token=token(page), label="kind").text
    assert "30 examples</b> of 2 labels" in again and ">none: texts alone</option>" in again
    assert "Classify 30 texts" in lead.send_form("/import/preview", token=token(page), label="none").text


def test_a_web_with_embedded_servers_reads_files(servers: Servers) -> None:
    """Their sockets lie where the process that reads a file would look for files of its own."""
    settings = Settings(_env_file=None, data_dir=servers.folder, database_url=None, redis_url=None)
    if settings.postgres_url.url != servers.database_url:
        pytest.skip("the servers of this run are outside ones")
    migrate(settings.postgres_url)
    with open_session(settings.postgres_url) as opened:
        user = people.add(opened, "embedded", "lead", "tests")
        token = import_files.keep(opened, user.id, "a.csv", b"text,label\na card,card\n")
        opened.commit()
        user_id = user.id

    get_engine(settings.postgres_url).dispose()  # the server's end would wait for its connections

    job = {
        "token": token,
        "user_id": user_id,
        "actor": "user:embedded",
        "form": {},
        "source": "",
        "fold": False,
        "none_label": "",
    }
    assert Uploads(settings).read("preview", **job)["found"]["rows"] == 1


def test_a_label_may_mean_that_none_fits(lead: Browser, session: Session) -> None:
    lines = ["text,label", "where is my card,card", "my cash is gone,cash", "what a day,other", "no idea at all,other"]
    first = send(lead, "\n".join(lines))

    page = lead.send_form("/import/preview", token=token(first), none_label="other")

    assert "<b>4 examples</b> of 2 labels, 2 of them that no label fits" in page.text
    assert "not a label: no label fits these" in page.text
    assert '<input type="hidden" name="none_label" value="other">' in page.text  # the import does what was looked at
    done = lead.send_form("/import/confirm", token=token(page), none_label="other")
    assert "Imported 4 new documents and 4 new decisions from 4 rows; 2 of them say that no label fits." in done.text
    session.rollback()
    assert sorted(each.label for each in labelled_documents(session)) == ["", "", "card", "cash"]


def test_a_name_that_no_row_has_is_refused(lead: Browser, session: Session) -> None:
    first = send(lead, "text,label\nwhere is my card,card")
    page = lead.send_form("/import/preview", token=token(first), none_label="nothing")
    assert (page.status_code, "no row has the label &#39;nothing&#39;" in page.text) == (422, True)
    assert count(session, Document) == 0
