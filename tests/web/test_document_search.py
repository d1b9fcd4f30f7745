"""Finding documents: each filter, pages by keyset, what is newest and what stands, on real Postgres."""

from datetime import UTC, datetime, timedelta

import pytest
from filled_queue import NAMES, add_document, add_labels, index_all, unlike
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Document, ModelVersion, Prediction, Review, User
from db.queries import document_search, people
from db.queries.document_search import Cursor, Filters
from sortline.errors import InvalidInputError
from web.documents.filters import cursor_text, parse_cursor, parse_filters


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


def found(session: Session, **asked: object) -> list[int]:
    index_all(session)
    page = document_search.search(session, Filters(**asked), None, 100)
    assert [row.id for row in document_search.every(session, Filters(**asked))] == [row.id for row in page.rows]
    assert document_search.count(session, Filters(**asked), 1000) == len(page.rows)
    return [row.id for row in page.rows]


def decide(session: Session, document_id: int, label_id: int | None, name: str = "ann", **more: object) -> int:
    user = session.query(User).where(User.name == name).one_or_none() or people.add(session, name, "reviewer", "tests")
    given = {"action": "correct" if label_id else "none_fits", "reason": "doubtful"} | more
    review = Review(document_id=document_id, reviewer_id=user.id, label_id=label_id, **given)
    session.add(review)
    session.commit()
    return review.id


def test_each_filter_alone_and_together(session: Session, labels: list[int]) -> None:
    waits = add_document(session, "My card has not arrived", probabilities=(0.6, 0.3, 0.1))
    sure = add_document(session, "Card arrived, thanks", None, probabilities=(0.95, 0.03, 0.02), source="chat")
    cash = add_document(session, "Withdraw CASH at noon", None, probabilities=(0.1, 0.9, 0.0), source="chat", name="x")
    decide(session, cash, labels[2])
    everything = [cash, sure, waits]

    assert found(session) == everything
    assert found(session, words="card") == [sure, waits]
    assert found(session, words='"not arrived"') == [waits]
    assert found(session, words="cash or thanks") == [cash, sure]
    assert found(session, words="card -thanks") == [waits]
    assert found(session, source="chat") == [cash, sure]
    assert found(session, source="chat", external_id="x") == [cash]
    assert found(session, predicted=NAMES[0]) == [sure, waits]
    assert found(session, decision="review") == [waits]
    assert found(session, confidence_from=0.9) == [cash, sure]
    assert found(session, confidence_from=0.6, confidence_to=0.9) == [cash, waits]
    assert found(session, fit_to=0.5) == []  # nothing is known of it
    session.execute(text("UPDATE predictions SET fit = 0.1 * document_id WHERE document_id <> :cash"), {"cash": cash})
    assert found(session, fit_to=0.1) == [waits]
    assert found(session, fit_from=0.2) == [sure]
    assert found(session, fit_from=0.0, fit_to=1.0) == [sure, waits]
    assert found(session, model_version=1) == everything
    assert found(session, model_version=2) == []
    assert found(session, state="waiting") == [waits]
    assert found(session, state="reviewed") == [cash]
    assert found(session, state="undecided") == [sure, waits]
    assert found(session, decided=NAMES[2]) == [cash]
    assert found(session, decided=NAMES[2].replace(" ", "\u00a0")) == [cash]
    assert found(session, predicted=f"{NAMES[0]} ") == [sure, waits]
    assert found(session, reviewer="ann") == [cash]
    assert found(session, reason="doubtful") == [waits]
    assert found(session, reason="doubtful", state="reviewed") == [cash]
    assert found(session, predicted=NAMES[1], decided=NAMES[2], words="noon", source="chat") == [cash]
    assert found(session, predicted=NAMES[0], source="chat", decision="review") == []


def test_words_of_any_script_are_found_in_upper_and_lower_case(session: Session) -> None:
    refund = add_document(session, "Возврат денег, l'État: \\ÜBERWEISUNG an Café Größe")
    index_all(session)
    for words in (
        "возврат",
        "ВОЗВРАТ",
        "Возврат ДЕНЕГ",
        '"ВОЗВРАТ денег"',
        "überweisung",
        "CAFÉ",
        "état",
        "größe",
        "x or ДЕНЕГ",
    ):
        assert found(session, words=words) == [refund], words
    assert found(session, words="денег -ВОЗВРАТ") == []
    assert found(session, words='"денег возврат"') == []
    for nothing in ("%", '"', "- -"):
        with pytest.raises(InvalidInputError, match="contains no word"):
            found(session, words=nothing)


def test_dates_include_their_beginning_and_not_their_end(session: Session) -> None:
    day = datetime(2026, 3, 1, tzinfo=UTC)
    ids = [add_document(session, unlike(i)) for i in range(3)]
    for i, id_ in enumerate(ids):
        session.get_one(Document, id_).received_at = day + timedelta(days=i)
    session.commit()
    assert found(session, since=day + timedelta(days=1)) == [ids[2], ids[1]]
    assert found(session, until=day + timedelta(days=1)) == [ids[0]]
    assert found(session, since=day, until=day + timedelta(days=2)) == [ids[1], ids[0]]


def test_unknown_names_are_refused(session: Session) -> None:
    for asked in ({"predicted": "no such"}, {"decided": "no such"}, {"reviewer": "no such"}):
        with pytest.raises(InvalidInputError, match=r"There is no .* 'no such'"):
            document_search.search(session, Filters(**asked), None, 10)


def test_pages_follow_each_other_and_new_documents_do_not_shift_them(session: Session) -> None:
    ids = [add_document(session, unlike(i)) for i in range(5)]
    session.execute(text("UPDATE documents SET received_at = '2026-01-01'"))  # the same moment for all
    session.commit()
    first = document_search.search(session, Filters(), None, 2)
    add_document(session, unlike(9))
    assert first.after is not None
    second = document_search.search(session, Filters(), parse_cursor(cursor_text(first.after)), 2)
    third = document_search.search(session, Filters(), second.after, 2)
    assert [row.id for page in (first, second, third) for row in page.rows] == ids[::-1]
    assert third.after is None


def test_the_newest_text_is_found_unless_all_are_wanted(session: Session) -> None:
    old = add_document(session, "first text", name="m-1")
    new = add_document(session, "second text", name="m-1")
    assert found(session) == [new]
    assert found(session, all_texts=True) == [new, old]
    session.get_one(Document, old).entry_id = "10-0"  # sent again: A, B, A ends at A
    session.commit()
    assert found(session) == [old]
    assert found(session, words="second") == []


def test_the_newest_prediction_counts_and_shadows_do_not(session: Session, labels: list[int]) -> None:
    document = add_document(session, unlike(1))
    session.add(ModelVersion(checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=labels))
    later = {"confidence": 0.8, "probabilities": [0.1, 0.8, 0.1], "document_id": document, "decision": "accept"}
    now = datetime.now(UTC)
    session.add(Prediction(model_version_id=2, kind="rescore", label_id=labels[1], created_at=now, **later))
    session.add(
        Prediction(model_version_id=3, kind="shadow", label_id=labels[2], created_at=now + timedelta(hours=1), **later)
    )
    session.commit()
    assert found(session, predicted=NAMES[1], model_version=2, decision="accept") == [document]
    assert found(session, predicted=NAMES[0]) == found(session, predicted=NAMES[2]) == []
    [row] = document_search.every(session, Filters(), probabilities=True)
    assert (row.predicted, row.model_version_id, row.confidence) == (NAMES[1], 2, pytest.approx(0.8))
    assert row.probabilities == pytest.approx([0.1, 0.8, 0.1])


def test_the_standing_decision_counts_and_an_undone_one_does_not(session: Session, labels: list[int]) -> None:
    document = add_document(session, unlike(1))
    decide(session, document, labels[1], "ann", note="sure")
    second = decide(session, document, labels[2], "bob")
    assert found(session, decided=NAMES[2], reviewer="bob") == [document]
    assert found(session, reviewer="ann") == []
    decide(session, document, None, "bob", action="undo", supersedes_id=second)
    assert found(session, decided=NAMES[1], reviewer="ann") == [document]
    assert found(session, decided=NAMES[2]) == []
    [row] = document_search.search(session, Filters(), None, 10).rows
    assert (row.action, row.decided, row.reviewer, row.note) == ("correct", NAMES[1], "ann", "sure")
    assert (row.decided_because, row.waits_because) == ("doubtful", "doubtful")


def test_an_imported_document_has_no_prediction(session: Session, labels: list[int]) -> None:
    session.add(Document(source="file", external_id="1", content_hash=b"1", text="a text", lane="bulk"))
    session.commit()
    decide(session, 1, None, "ann", reason="import")
    [row] = document_search.every(session, Filters(reason="import"))
    assert (row.predicted, row.confidence, row.action, row.decided) == (None, None, "none_fits", None)


def test_who_may_decide_an_audit_does_not_find_it_by_its_prediction(session: Session) -> None:
    audit = add_document(session, unlike(1), reason="audit", sampling_probability=0.1)
    plain = add_document(session, unlike(2))
    assert found(session, predicted=NAMES[0], blind=True) == [plain]
    assert found(session, reason="audit", blind=True) == []
    assert found(session, blind=True) == [plain, audit]


def test_only_a_beginning_of_each_text_where_that_is_enough(session: Session) -> None:
    add_document(session, "word " * 40_000)
    index_all(session)
    assert document_search.search(session, Filters(words="word"), None, 1, chars=12).rows[0].text == "word word wo"
    assert len(next(document_search.every(session, Filters())).text) == 200_000


@pytest.mark.parametrize(
    "huge",
    [
        " ".join(chr(0x20000 + i) for i in range(40_000)), " ".join(f"word{i}" for i in range(110_000)), "x" * 2**20,
        "İ " * 300_000,
    ],
    ids=["4-byte words", "distinct words", "one word", "words that grow in lower case"],
)  # fmt: skip
def test_no_text_is_too_large_for_the_index_of_words(session: Session, huge: str) -> None:
    document = add_document(session, f"needle {huge}"[: 2**20])
    assert found(session, words="needle") == [document]


def test_what_takes_long_is_cut_with_a_sentence(session: Session) -> None:
    with (
        pytest.raises(InvalidInputError, match="narrow it"),
        document_search.within(session, 0.05),
    ):
        session.execute(text("SELECT pg_sleep(5)"))
    with document_search.within(session, 0.05):
        pass
    assert session.scalar(text("SELECT count(*) FROM pg_sleep(0.1)")) == 1


def test_a_query_string_becomes_filters() -> None:
    given = {
        "words": " card ", "source": "", "id": "x", "since": "2026-01-31", "until": "2026-02-01", "predicted": "a",
        "decision": "accept", "confidence_from": "50", "confidence_to": "99.5", "fit_from": "1",
        "fit_to": "50", "version": "3", "state": "waiting", "decided": "b", "reviewer": "ann", "reason": "flag", "texts": "all", "after": "1-1",
    }  # fmt: skip
    assert parse_filters(given, beside=("after",)) == Filters(
        words="card", external_id="x", since=datetime(2026, 1, 31, tzinfo=UTC), until=datetime(2026, 2, 2, tzinfo=UTC),
        predicted="a", decision="accept", confidence_from=0.5, confidence_to=0.995, fit_from=0.01,
        fit_to=0.5, model_version=3, state="waiting", decided="b", reviewer="ann", reason="flag", all_texts=True,
    )  # fmt: skip
    # Phones show a comma alone where that is the decimal sign.
    assert parse_filters({"fit_to": "12,5", "fit_from": "3 %"}) == Filters(fit_to=0.125, fit_from=0.03)
    assert parse_filters({"until": "2026-02-01T10:00+02:00"}).until == datetime(2026, 2, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sauce", "x", "no filter 'sauce'"), ("since", "yesterday", "since must be a day"), ("since", "2026-02-30", "day"),
        ("until", "9999-12-31", "until must be a day"), ("confidence_from", "nan", "0 to 100"),
        ("confidence_to", "101", "0 to 100"), ("confidence_to", "high", "0 to 100"), ("version", "-1", "number"),
        ("version", "9" * 20, "number"), ("version", "²", "number"), ("decision", "maybe", "accept, review"),
        ("state", "lost", "waiting, reviewed"), ("reason", "why", "doubtful"), ("texts", "some", "newest, all"),
        ("words", "x" * 501, "at most 500"), ("words", "a\x00b", "NUL"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_named(name: str, value: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        parse_filters({name: value})


@pytest.mark.parametrize("given", ["x", "1", "1-", "-1", "1-x", "1-1-1", "9" * 40 + "-1", "1-" + "9" * 20, "²-1"])
def test_a_damaged_cursor_is_refused(given: str) -> None:
    with pytest.raises(InvalidInputError, match="damaged"):
        parse_cursor(given)
    cursor = Cursor(datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC), 7)
    assert parse_cursor(cursor_text(cursor)) == cursor
