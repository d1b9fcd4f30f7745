"""Footers, headers and templates that many different texts share make them no near-duplicates."""

import random
import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from classifier.shortcomings import Shortcoming
from db.queries.labelled import Labelled
from sortline.errors import TrainingError
from trainer.data.import_file import ImportReport
from trainer.data.near_duplicates import NearDuplicates
from trainer.data.preview import preview
from trainer.data.split import Assignment, Groups, assign
from trainer.data.split_doubts import foretold_doubts, split_doubts
from trainer.data.training_data import select

_FOOTER = (
    " -- Northwind Cycles, 12 Harbour Road. Our shops are open from Monday to Saturday. This letter is meant for its "
    "reader alone; whoever gets it by mistake is asked to throw it away and to tell us. Prices hold until the end of "
    "the month. We plant a tree for every bicycle that is sold, and repair what others throw away. For what we store "
    "about you, see the page on privacy. Registered in Rotterdam under number 4711, chamber of commerce of the port."
)
_HEADER = (
    "[EXTERNAL MAIL: do not open attachments of senders that you do not know, never type a password into a page that a "
    "mail leads to, and report whatever looks odd to the service desk at extension 400, which is there day and night] "
)
_CHINESE = (
    "本邮件及其附件仅供收件人阅读，如您误收此邮件，请立即通知发件人并删除，请勿复制、转发或以任何方式使用其内容。" * 2
)


def sentences(count: int, seed: int = 1) -> list[str]:
    """Short messages, no two of them alike."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefghijklmnoprstuvw", k=draw.randint(3, 8))) for _ in range(400)]
    return [" ".join(draw.choices(words, k=draw.randint(6, 12))) for _ in range(count)]


def groups_of(documents: list[Labelled]) -> Groups:
    return NearDuplicates([each.text for each in documents]).groups()


def documents(texts: list[str], splits: dict[int, str] | None = None) -> list[Labelled]:
    return [
        Labelled(
            i, text, sha256(text.encode()).digest(), 1 + i % 2, f"label {i % 2}", True, None, (splits or {}).get(i)
        )
        for i, text in enumerate(texts, start=1)
    ]


def foretold(texts: list[str]) -> list[Shortcoming]:
    hashes = [sha256(text.encode()).digest() for text in texts]
    return foretold_doubts(texts, hashes, NearDuplicates(texts).groups())


def groups(texts: list[str]) -> int:
    return len(set(NearDuplicates(texts).groups().tolist()))


def form(message: str, i: int) -> str:
    return (
        f"Contact form of the bicycle shop. Name of the customer: Jo{i}. Number of the invoice, if there is one: {i * 7}. "
        f"The customer wrote the following message to us: {message}. Has the customer read our terms and conditions: "
        f"yes. The customer wants an answer by telephone: no. Ticket {i * 31}, created by the contact form of the shop."
    )


SHARED: list[Callable[[str, int], str]] = [
    lambda message, i: message + "." + _FOOTER,
    lambda message, i: _HEADER + message,
    lambda message, i: _HEADER + message + "." + _FOOTER,
    form,
    lambda message, i: message + "." + _FOOTER.replace("12 Harbour Road", f"{i} Harbour Road") + f" Sent by agent {i}.",
]


@pytest.mark.parametrize("shared", SHARED, ids=["footer", "header", "both", "form", "a footer with numbers"])
def test_different_messages_with_the_same_words_around_them_are_no_near_duplicates(
    shared: Callable[[str, int], str],
) -> None:
    texts = [shared(message, i) for i, message in enumerate(sentences(40))]

    assert groups(texts) == 40


def test_nor_are_messages_in_a_script_without_spaces() -> None:
    draw = random.Random(5)
    texts = ["".join(chr(draw.randint(0x4E00, 0x9000)) for _ in range(12)) + "。" + _CHINESE for _ in range(30)]

    assert groups(texts) == 30


def test_some_of_a_file_share_a_footer_and_the_others_are_as_before() -> None:
    plain = sentences(60, seed=2)
    near = [text + " please" for text in sentences(60, seed=2)[:5]]
    mails = [message + "." + _FOOTER for message in sentences(30)]

    assert groups([*plain, *near, *mails]) == 60 + 30


def test_messages_that_say_the_same_are_still_found_under_a_footer() -> None:
    messages = [f"{text} {text[::-1]}" for text in sentences(20)]
    again = [message.replace(" ", "  ", 1) + " ok" for message in messages]

    found = NearDuplicates([text + "." + _FOOTER for text in (*messages, *again)]).groups()

    assert (found[20:] == found[:20]).all()
    assert len(set(found.tolist())) == 20


def test_a_letter_that_differs_in_names_and_numbers_alone_is_one_letter() -> None:
    draw = random.Random(3)
    names = ["".join(draw.choices("aeilnorst", k=7)).title() for _ in range(50)]

    assert groups([f"Dear {name}, your order {i * 97} is on its way.{_FOOTER}" for i, name in enumerate(names)]) == 1


def test_a_few_versions_of_one_long_text_stay_together() -> None:
    assert groups([_FOOTER + " " + message for message in sentences(9)]) == 1


def test_stored_splits_stay_and_new_mails_go_their_own_ways() -> None:
    """Nine mails were one group, stored as test; thirty more make the footer one that is shared."""
    texts = [message + "." + _FOOTER for message in sentences(39)]
    first = documents(texts[:9])
    stored = {each.document_id: each.split for each in assign(first, groups_of(first), "test")}
    known = [each._replace(group_id=1) for each in documents(texts, stored)[:9]]
    new = documents(texts)[9:]

    found = assign([*known, *new], groups_of([*known, *new]))

    assert [each.document_id for each in found] == list(range(10, 40))
    assert len({each.group_id for each in found}) == 30
    assert len({each.split for each in found}) > 1


def test_near_duplicates_that_are_kept_go_by_their_own_hash() -> None:
    texts = [f"Dear customer {i}, your order is on its way.{_FOOTER}" for i in range(200)]

    together = assign(documents(texts), groups_of(documents(texts)))
    apart = assign(documents(texts), groups_of(documents(texts)), keep_near_duplicates=True)

    assert len({each.split for each in together}) == 1
    assert 0.6 < Counter(each.split for each in apart)["train"] / 200 < 0.8


def test_a_footer_that_is_nearly_enough_to_make_mails_alike_costs_no_minutes() -> None:
    """Candidates that are none: before, each was held against each other, in each band."""
    long = [f"{a} {b}" for a, b in zip(sentences(1000, 7), sentences(1000, 8), strict=True)]

    began = time.process_time()
    found = groups([message + "." + _FOOTER * 2 for message in long])

    assert time.process_time() - began < 30
    assert found == 1000


def test_a_file_in_one_split_is_told_before_and_after_the_import() -> None:
    texts = [f"Dear customer {i}, your order is on its way.{_FOOTER}" for i in range(40)]
    assigned = assign(documents(texts), groups_of(documents(texts)))

    before = foretold(texts)
    found = split_doubts(assigned, Counter(each.split for each in assigned))

    assert before == found
    assert [each.name for each in found] == ["one group", "empty splits"]
    assert found[0].said.startswith("All 40 new documents nearly repeat one another, so all of them are in one split")
    assert all(help in found[0].do for help in ("footer", "--keep-near-duplicates", "--split", "sortline erase"))


def test_a_file_of_a_few_templates_says_why_splits_stay_empty() -> None:
    templates = ["where is parcel {}, it has not come yet", "invoice {} names a sum that we never owed you at all"]
    texts = [template.format(1000 + i) for template in templates for i in range(20)]

    found = foretold(texts)

    empty = next(each for each in found if each.name == "empty splits")
    assert "40 new documents are 2 groups of texts that nearly repeat each other" in empty.do
    assert "--keep-near-duplicates" in empty.do


def test_an_ordinary_file_raises_no_doubt() -> None:
    texts = sentences(300)
    assert foretold(texts) == []
    assert split_doubts([], {}) == []
    forced = [Assignment(i, i, "test", forced=True) for i in range(50)]
    assert split_doubts(forced, {"test": 50}) == []


def test_a_training_without_training_documents_says_where_they_are_and_what_helps() -> None:
    with pytest.raises(TrainingError, match=r"no label has documents to train on.*test 40.*--split train"):
        select(documents(sentences(40), dict.fromkeys(range(1, 41), "test")))


def test_what_was_left_out_is_told_with_a_passage_as_it_is_written() -> None:
    texts = [*sentences(20, seed=2), *(message + "." + _FOOTER for message in sentences(30))]
    alike = NearDuplicates(texts)

    found = alike.repeated()

    assert found is not None
    assert found.documents == 30
    assert found.passage in "." + _FOOTER
    assert len(found.passage) > 200
    assert alike.repeated(range(20)) is None
    assert alike.repeated([3, 20, 21]) == (2, found.passage)
    assert "2 of 3 documents" in alike.repeated([3, 20, 21]).note(3)  # type: ignore[union-attr]


def test_nothing_is_told_where_nothing_was_left_out() -> None:
    draw = random.Random(3)
    names = ["".join(draw.choices("aeilnorst", k=7)).title() for _ in range(50)]
    letters = [f"Dear {name}, your order {i * 97} is on its way.{_FOOTER}" for i, name in enumerate(names)]

    assert NearDuplicates(sentences(50)).repeated() is None
    assert NearDuplicates(letters).repeated() is None
    assert NearDuplicates([]).repeated() is None


def test_the_import_and_its_preview_say_that_a_footer_was_left_out(
    session: Session, tmp_path: Path, import_lines: Callable[..., ImportReport]
) -> None:
    mails = [f"{message}.{_FOOTER}" for message in sentences(40)]
    lines = ["text,label", *(f'"{mail}",{("card", "cash")[i % 2]}' for i, mail in enumerate(mails))]
    looked = tmp_path / "looked-at.csv"
    looked.write_text("\n".join(lines), "utf-8")

    foretold = preview(session, looked)
    first = import_lines(lines[:31])
    more = import_lines([lines[0], *lines[31:], "hello there,card"], name="more.csv")
    again = import_lines(lines, name="again.csv")
    kept = import_lines(
        [lines[0], *(f'"{message}.{_HEADER}",card' for message in sentences(30, 4))], keep_near_duplicates=True
    )

    for notes, documents in ((foretold.why, "40 of 40"), (first.notes, "30 of 30"), (more.notes, "10 of 11")):
        (note,) = [each for each in notes if "footer" in each]
        assert f"{documents} documents" in note
        assert "Northwind Cycles, 12 Harbour Road" in note
        assert "near-duplicates" in note
    for report in (again, kept):
        assert not [each for each in report.notes if "footer" in each]
