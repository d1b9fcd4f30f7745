"""Labelled files become documents with reviews by `import`."""

import gzip
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Thread

import pytest
from labelled_lines import labelled_lines
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from workbooks import workbook

from db.models import Document, DocumentSplit, Label, Review, User
from db.queries import labels
from db.queries.labelled import labelled_documents
from db.session import session as open_session
from sortline.errors import ConflictError, ImportFileError
from sortline.files.opening import Asked
from sortline.settings import Settings
from trainer.data.import_file import ImportReport, import_file
from trainer.data.preview import preview
from trainer.data.split import leaks

Import = Callable[..., ImportReport]

CSV = [
    "text,label",
    "where is my card,card",
    "the machine ate my cash,cash",
    ",cash",
    "my transfer has not arrived,transfer",
]


def count(session: Session, table: type) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def test_examples_become_documents_reviewed_by_import(session: Session, import_lines: Import) -> None:
    report = import_lines(CSV)

    assert (report.rows, report.documents, report.reviews) == (4, 3, 3)
    assert report.bad == [(4, "the text is empty")]
    document = session.scalars(select(Document).where(Document.text == "where is my card")).one()
    digest = sha256(b"where is my card")
    assert (document.source, document.external_id, document.content_hash) == (
        "import",
        digest.hexdigest()[:32],
        digest.digest(),
    )
    review = session.scalars(select(Review).where(Review.document_id == document.id)).one()
    assert (review.action, review.reason) == ("correct", "import")
    assert session.get_one(User, review.reviewer_id).name == "import"
    assert session.get_one(Label, review.label_id).name == "card"
    assert sum(report.splits.values()) == count(session, DocumentSplit) == 3


def test_a_source_is_as_short_as_on_the_queue(session: Session, import_lines: Import) -> None:
    with pytest.raises(ImportFileError, match="the source has 101 characters; the limit is 100"):
        import_lines(CSV, source="s" * 101)
    assert count(session, Document) == 0
    assert import_lines(CSV, source="s" * 100).documents == 3


def test_the_same_file_twice_adds_nothing(session: Session, import_lines: Import) -> None:
    lines = [*CSV, "where is my card,cash"]  # contradicts the first row: the last one counts
    first = import_lines(lines)
    before = {document.id: document for document in labelled_documents(session)}

    again = import_lines(lines)

    assert (first.documents, first.repeated, first.contradictions) == (3, 1, 1)
    assert (again.documents, again.reviews, again.splits) == (0, 0, {})
    assert {document.id: document for document in labelled_documents(session)} == before
    assert {document.text: document.label for document in before.values()}["where is my card"] == "cash"


def test_a_changed_label_is_a_new_review_and_the_split_stays(session: Session, import_lines: Import) -> None:
    import_lines(CSV)
    (before,) = [d for d in labelled_documents(session) if d.text == "where is my card"]

    report = import_lines(["text,label", "where is my card,lost_card"])

    (after,) = [d for d in labelled_documents(session) if d.text == "where is my card"]
    assert (report.documents, report.reviews) == (0, 1)
    assert after.label == "lost_card"
    assert after.split == before.split
    assert count(session, Review) == 4


def test_a_reviewers_correction_outlives_the_next_import(session: Session, import_lines: Import) -> None:
    import_lines(CSV)
    (document,) = [d for d in labelled_documents(session) if d.text == "where is my card"]
    ann = User(name="ann", role="reviewer")
    cash = session.scalars(select(Label).where(Label.name == "cash")).one()
    session.add(ann)
    session.flush()
    session.add(
        Review(document_id=document.id, reviewer_id=ann.id, action="correct", label_id=cash.id, reason="doubtful")
    )
    session.commit()

    import_lines(CSV)

    (after,) = [d for d in labelled_documents(session) if d.id == document.id]
    assert after.label == "cash"
    assert after.split == document.split


def test_ids_of_the_file_tell_equal_texts_apart(session: Session, import_lines: Import) -> None:
    report = import_lines(
        ["id,text,label", "1,hello there,card", "2,hello there,card", "2,hello there,card"], source="crm"
    )

    assert (report.documents, report.repeated) == (2, 1)
    found = session.execute(select(Document.source, Document.external_id).order_by(Document.id)).all()
    assert [tuple(row) for row in found] == [("crm", "1"), ("crm", "2")]


def test_texts_that_lost_a_character_are_refused_and_none_is_stored_with_a_replacement(
    session: Session, import_lines: Import
) -> None:
    lost = ["a\\u0000b", "a \\ud83d c", "caf\\ufffd"]

    report = import_lines(
        [*(f'{{"text":"{text}","label":"card"}}' for text in lost), '{"text":"plain","label":"card"}'], "a.jsonl"
    )

    assert [line for line, _ in report.bad] == [1, 2, 3]
    assert all("a character was lost when the file was made" in reason for _, reason in report.bad)
    assert session.scalars(select(Document.text)).all() == ["plain"]


def test_strict_refuses_the_whole_file(session: Session, import_lines: Import) -> None:
    with pytest.raises(ImportFileError, match="line 4: the text is empty; nothing was imported"):
        import_lines(CSV, strict=True)
    assert count(session, Document) == 0


def test_a_file_without_any_example_is_refused(import_lines: Import) -> None:
    with pytest.raises(ImportFileError, match="contains no examples"):
        import_lines(["text,label"])
    with pytest.raises(ImportFileError, match=r"contains 1 text, none with a label .*sortline enqueue"):
        import_lines(["text,label", "hello,"])
    with pytest.raises(ImportFileError, match=r"contains 2 texts, but no labels were found .columns: text, colour"):
        import_lines(["text,colour", "hello,red", "bye,blue"])
    with pytest.raises(ImportFileError, match="line 2: the text is empty; nothing was imported"):
        import_lines(["text,label", ",card"])


def test_an_encoding_that_is_guessed_is_named_and_nothing_is_stored_until_it_is_confirmed(
    session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "labelled.csv"
    path.write_bytes("text,label\nMüller fragt – wo bleibt’s?,Rückfrage\nalles gut,Lob\n".encode("cp1252"))

    with pytest.raises(ImportFileError, match="looks like cp1252 and then reads “Müller fragt – wo"):
        import_file(session, path)
    assert count(session, Document) == 0

    report = import_file(session, path, Asked(encoding="ansi"))
    assert (report.documents, report.refused) == (2, 0)
    assert {label.name for label in session.scalars(select(Label))} >= {"Rückfrage", "Lob"}


def test_doubts_are_said_before_anything_is_stored(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "twins.csv"
    rows = [f"text {i},{name}" for i, name in enumerate(["Refund", "refund", "REFUND ", "card", "card"] * 3)]
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    said: list[tuple[list[str], int]] = []

    import_file(session, path, on_survey=lambda survey: said.append((survey.doubts, count(session, Document))))

    ((doubts, stored),) = said
    assert stored == 0
    assert any("look like one label but count as three" in doubt for doubt in doubts)


def test_labels_that_look_alike_are_folded_where_that_is_asked_for(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "twins.csv"
    rows = [f"text {i},{name}" for i, name in enumerate(["refund", "refund", "Refund", "re-fund", "card"])]
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")

    import_file(session, path, fold=True)

    assert {document.label for document in labelled_documents(session)} == {"refund", "card"}


def test_whole_numbers_that_a_program_made_decimal_are_the_labels_they_were(session: Session, tmp_path: Path) -> None:
    for name, ending in (("january", ""), ("february", ".0")):
        rows = [f"{name} {i},{i % 2}{ending}" for i in range(6)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    import_file(session, tmp_path / "january.csv")

    report = import_file(session, tmp_path / "february.csv")

    assert {document.label for document in labelled_documents(session)} == {"0", "1"}
    assert "labels read as another: 0.0 as 0, 1.0 as 1" in report.notes


def test_cells_that_hold_several_labels_are_refused_and_named(session: Session, import_lines: Import) -> None:
    report = import_lines(
        ["text,label", "late,delivery", "broken,refund", "both,delivery;refund", "again,refund|delivery"]
    )

    assert report.documents == 2
    assert report.bad == [
        (4, '"delivery;refund" holds several labels (delivery, refund); give one'),
        (5, '"refund|delivery" holds several labels (refund, delivery); give one'),
    ]


def test_rejected_answers_of_a_labelling_tool_never_label(session: Session, import_lines: Import) -> None:
    answers = [("the battery died", "hardware", "accept"), ("the battery died", "delivery", "reject"),
               ("left at the door", "hardware", "reject"), ("left at the door", "delivery", "accept"),
               ("screen flickers", "delivery", "ignore")]  # fmt: skip
    lines = [f'{{"text":"{text}","label":"{label}","answer":"{answer}","_input_hash":1,"_task_hash":2}}'
             for text, label, answer in answers]  # fmt: skip

    report = import_lines(lines, "teach.jsonl")

    assert {d.text: d.label for d in labelled_documents(session)} == {
        "the battery died": "hardware", "left at the door": "delivery",
    }  # fmt: skip
    assert (report.documents, report.refused) == (2, 3)


def test_a_packed_workbook_of_another_name_is_read_for_what_it_is(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "renamed.csv"
    path.write_bytes(
        gzip.compress(workbook([["Text", "LABEL"], ["where is my card", "card"], ["7 days late", "late"]]))
    )

    report = import_file(session, path)

    assert report.shape == "gzip of an Excel workbook, sheet Sheet1"
    assert report.documents == 2


def test_what_import_splits_itself_has_no_leak_and_stays_as_it_is(session: Session, import_lines: Import) -> None:
    lines = labelled_lines(200)
    lines += [line.replace("please help", "do please help") for line in lines[1:]]  # near-duplicates
    import_lines(lines[:100])
    before = {document.id: document.split for document in labelled_documents(session)}

    import_lines(["text,label", *lines[100:]], "more.csv")

    documents = labelled_documents(session)
    splits = {document.id: document.split or "" for document in documents}
    assert splits | before == splits
    assert set(splits.values()) >= {"train", "validation", "test"}
    assert leaks(documents, splits) == 0


def test_forced_training_texts_that_repeat_test_ones_are_counted_as_left_out(import_lines: Import) -> None:
    lines = labelled_lines(30)
    import_lines(lines[:11], split="test")

    report = import_lines(["text,label", *(line.upper() for line in lines[6:11]), *lines[11:]], "b.csv", split="train")

    assert report.splits == {"left_out": 5, "train": 20}


def test_two_imports_at_once_part_no_near_duplicates(settings: Settings, session: Session, tmp_path: Path) -> None:
    paths = []
    for i in range(2):
        paths.append(tmp_path / f"{i}.csv")
        lines = [line.replace("please help", "help please now" * i) for line in labelled_lines(120)]
        paths[i].write_text("\n".join(lines), encoding="utf-8")

    def run(path: Path) -> None:
        with open_session(settings.postgres_url) as opened:
            import_file(opened, path)
            opened.commit()

    threads = [Thread(target=run, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    documents = labelled_documents(session)
    assert len(documents) >= 120
    assert leaks(documents, {document.id: document.split or "" for document in documents}) == 0


def test_labels_are_bounded(
    session: Session, import_lines: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "MOST_LABELS", 3)
    assert import_lines(CSV).documents == 3

    with pytest.raises(ImportFileError, match=r"there would be 4 labels, and the limit is 3: check the label column"):
        import_lines(["text,label", "another text,another"])
    (tmp_path / "b.csv").write_text("text,label\nanother text,another\n")
    assert any("the limit is 3" in doubt for doubt in preview(session, tmp_path / "b.csv").doubts)
    with pytest.raises(ConflictError, match="no more can be added"):
        labels.add(session, "another", "tests")
