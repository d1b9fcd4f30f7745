"""Labelled files become documents with reviews by `import`."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Thread

import pytest
from labelled_lines import labelled_lines
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Document, DocumentSplit, Label, Review, User
from db.queries.labelled import labelled_documents
from db.session import session as open_session
from sortline.errors import ImportFileError
from sortline.settings import Settings
from trainer.import_file import ImportReport, import_file
from trainer.split import leaks

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

    report = import_lines([*(f'{{"text":"{text}","label":"card"}}' for text in lost), '{"text":"plain","label":"card"}'], "a.jsonl")

    assert [line for line, _ in report.bad] == [1, 2, 3]
    assert all("a character was lost when the file was made" in reason for _, reason in report.bad)
    assert session.scalars(select(Document.text)).all() == ["plain"]


def test_strict_refuses_the_whole_file(session: Session, import_lines: Import) -> None:
    with pytest.raises(ImportFileError, match="line 4: the text is empty; nothing was imported"):
        import_lines(CSV, strict=True)
    assert count(session, Document) == 0


def test_a_file_without_any_example_is_refused(import_lines: Import) -> None:
    with pytest.raises(ImportFileError, match="holds no examples"):
        import_lines(["text,label"])
    with pytest.raises(ImportFileError, match="line 2: the label is empty"):
        import_lines(["text,label", "hello,"])


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
