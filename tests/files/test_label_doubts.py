"""What looks wrong with the labels of a file, and folding those that look like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sortline.files.label_doubts import LabelDoubt, fold_labels, label_doubts


def counts(*names: str) -> dict[str, int]:
    return dict.fromkeys(names, 7)


def doubt(kind: str, given: dict[str, int], known: tuple[str, ...] = ()) -> LabelDoubt:
    return next(each for each in label_doubts(given, known) if each.kind == kind)


def kinds(*names: str, known: tuple[str, ...] = ()) -> set[str]:
    return {each.kind for each in label_doubts(counts(*names), known)}


@pytest.mark.parametrize(
    "names",
    [
        ("Delivery", "delivery", "DELIVERY"), ("pre-paid", "prepaid", "pre paid", "pre_paid", "Pre.Paid"),
        ("late", "late.", "late,", "late!", '"late"', "(late)", "*late*"), ("ｌａｔｅ", "late"), ("Level 1", "level1"),
        ("don't know", "don’t know", "dont know"), ("Größe", "GRÖSSE", "größe"), ("İade", "iade"), ("kırık", "KIRIK"),
        ("Réclamation", "Reclamation"), ("garçon", "garcon"), ("Ελλάδα", "ΕΛΛΑΔΑ"), ("ещё", "еще"),
        ("тариф", "Тариф"), ("оплата", "oплaтa"), ("OK", "ОК"), ("کتاب\u200cها", "کتابها"), ("❤\ufe0f love", "❤ love"),
        ("カード", "ｶｰﾄﾞ"), ("3", "03", "3.0", "3."), ("-1", "−1", "-1.0"), ("covid-19", "COVID 19"),
        ("card–arrival", "card-arrival"), ("ok then", "Ok  Then"), ("unknown", "Unknown"), ("R&D", "R & D", "r and d"), ("finance", "ﬁnance"),
    ],
    ids=lambda names: names[0],
)  # fmt: skip
def test_spellings_of_one_label_are_pointed_out_and_fold_into_the_most_frequent(names: tuple[str, ...]) -> None:
    given = dict.fromkeys(names, 2) | {names[0]: 9, "something else": 5}
    found = doubt("look-alike", given)
    assert {each.name for each in found.labels} == set(names)
    assert "--fold-labels" in found.message
    target = {"oплaтa": "оплата"}.get(names[0], names[0])
    assert fold_labels(given) == dict.fromkeys(names[1:], target)


@pytest.mark.parametrize(
    "names",
    [
        ("C", "C++", "C#", "Objective-C"), ("+1", "-1"), ("no", "No."), ("1/10", "1", "10", "110", "1-10"),
        ("spam", "not spam", "non spam"), ("1.0", "1.1", "2.0", "1.10"), ("2024-01-02", "2024-1-2", "20240102"),
        ("A", "A+", "A-", "AB"), ("か", "が", "は", "ば", "ぱ"), ("कि", "कु", "की"), ("й", "и"), ("ma", "má", "mà", "mã"),
        ("score -1", "score 1"), ("version 1 1", "version 11"), ("👍", "👎"), ("refund", "refunds"), ("?", "!"),
        ("schon", "schön", "schôn"), ("<3", "3"), ("b2b", "b2c"), ("#1", "1"), ("@home", "home"), ("12:30", "1230"),
        ("$5", "5"), ("10%", "10"), (".net", "net"), ("ש", "שׁ"), ("ด่า", "ด้า"), ("other", "Others"), ("1e5", "100000"),
    ],
    ids=lambda names: names[0],
)  # fmt: skip
def test_labels_that_differ_are_left_alone(names: tuple[str, ...]) -> None:
    assert not kinds(*names) & {"look-alike", "several"}
    assert fold_labels(counts(*names)) == {}


def test_the_label_of_the_database_wins() -> None:
    given = {"Refund": 90, "refund.": 3, "REFUND": 2}
    found = doubt("look-alike", given, ("refund", "delivery"))
    assert found.labels[0] == ("refund", 0, True)
    assert '"refund" (in the database)' in found.message
    assert fold_labels(given, ("refund",)) == dict.fromkeys(given, "refund")
    assert fold_labels(given, ("refund", "Refund")) == dict.fromkeys(("refund.", "REFUND"), "Refund")
    both = doubt("look-alike", {"Refund": 4}, ("refund", "Refund"))
    assert "merge them on the labels page" in both.message
    assert fold_labels({"late parcel": 3}, ("late  parcel",)) == {
        "late parcel": "late  parcel"
    }  # stored before the rule
    assert label_doubts(counts("a", "b"), ("C", "c")) == []


def test_where_spellings_are_met_as_often_the_plainest_wins() -> None:
    for names in (("ﬁnance", "finance"), ("LATE.", "late."), ("late parcel", "late-parcel"), ("pre-paid", "prepaid")):
        assert set(fold_labels(counts(*names)).values()) == {
            {"ﬁnance": "finance", "LATE.": "late.", "pre-paid": "prepaid"}.get(names[0], names[0])
        }


def test_whole_numbers_that_became_decimal_ones_become_whole_again() -> None:
    assert fold_labels(counts("0.0", "1.0", "12.00")) == {"0.0": "0", "1.0": "1", "12.00": "12"}
    assert fold_labels({"0": 1, "0.0": 50, "1.0": 50}) == {"0.0": "0", "1.0": "1"}
    assert fold_labels(counts("0.0", "1.0"), ("0.0",)) == {"1.0": "1"}
    assert fold_labels(counts("0.0", "1.0"), ("0", "1")) == {"0.0": "0", "1.0": "1"}
    assert "same numbers" in doubt("look-alike", counts("0.0", "1.0", "2.0"), ("0", "1")).message
    assert "decimal point" in doubt("look-alike", counts("0.0", "1.0")).message
    assert "look-alike" not in kinds("3.10", "3.11", "3.0")


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("late, broken", ("late", "broken")), ("late,broken", ("late", "broken")), ("Late; Broken", ("Late", "Broken")),
        ("late|broken", ("late", "broken")), ("late/broken", ("late", "broken")), ("late & broken", ("late", "broken")),
        ("late#broken", ("late", "broken")), ("late、broken", ("late", "broken")), ("late and broken", ("late", "broken")),
        ('["late", "broken"]', ("late", "broken")), ("['late', 'broken']", ("late", "broken")),
        ("['late' 'broken']", ("late", "broken")), ('{"choices": ["late", "broken"]}', ("late", "broken")),
        ("late, broken, lost", ("late", "broken", "lost")),
    ],
)  # fmt: skip
def test_a_cell_of_several_labels_is_named_and_never_folds(cell: str, parts: tuple[str, ...]) -> None:
    given = counts("late", "broken", "lost", cell)
    found = doubt("several", given)
    assert [each.name for each in found.labels] == [cell]
    assert all(f'"{part}"' in found.message for part in parts)
    assert fold_labels(given) == {}
    assert doubt("several", counts(cell, "x"), ("late", "broken", "lost"))


def test_a_file_of_many_labels_a_cell_is_seen_though_few_stand_alone() -> None:
    assert "several" in kinds("a;b", "b;c", "c;a", "plain")
    assert "several" not in kinds("Paris, France", "Lyon, France", "Paris, Texas")
    assert "several" not in kinds("Hardware, software and network", "billing")
    assert "several" not in kinds("terms and conditions", "and/or", "n/a", "24/7", "AC/DC", "9/11", "1,000", "a,")
    assert "several" in kinds("7,9", "7", "9")


def test_what_a_program_wrote_is_no_label() -> None:
    for name in ("__label__late", "__intent__pay", '["late"]', '{"choices": ["late"]}', '[{"start": 1}]', "['late']"):
        assert name in doubt("markup", counts(name, "other")).message
    assert "markup" not in kinds("[urgent] call", "{x}", "__init__", "__", "[late]")


def test_words_that_mean_missing_are_named_once() -> None:
    found = doubt("missing", counts("NaN", "None", "n/a", "#REF!", "-", "?", "TODO", "undefined", "other", "no", "0"))
    assert {each.name for each in found.labels} == {"NaN", "None", "n/a", "#REF!", "-", "?", "TODO", "undefined"}
    assert "missing" not in kinds("none fits", "nanny", "nullified", "other", "no", "NO", "N", "False")
    assert fold_labels(counts("NaN", "nan", "None", "NONE")) == {}
    assert "missing" not in kinds("+", "-")
    assert "missing" not in kinds("*", "**", "***")
    assert kinds("N/A", "n", "a") == {"missing"}
    assert "missing" not in kinds("None", "x", known=("None",))


def test_labels_with_one_example_are_named_unless_the_database_has_others() -> None:
    given = {"late": 9, "brokn": 1, "lost": 1, "nan": 1, "late, lost": 1}
    assert [each.name for each in doubt("once", given, ("lost",)).labels] == ["brokn"]
    assert '"brokn" (1) has one example' in doubt("once", given, ("lost",)).message


def test_columns_that_hold_no_labels_are_named() -> None:
    texts = {f"Dear team, parcel {i} did not come": 1 for i in range(300)}
    assert [each.kind for each in label_doubts(texts)] == ["like-texts"]
    assert [each.kind for each in label_doubts({str(i) + "x": 1 for i in range(30_000)})] == ["like-texts"]
    assert "long" in kinds(
        "My parcel did not come although I was at home all day long, and nobody rang the bell.", "late"
    )
    assert "ranges" in doubt("numbers", counts("0.31", "0.5", "12")).message
    assert "--label-column" in doubt("numbers", counts("0", "1", "2")).message
    assert "numbers" not in kinds("0", "1", known=("0", "1", "2"))
    assert "numbers" not in kinds("0", "one")
    assert "two labels" in doubt("only-one", {"late": 50}).message
    assert "only-one" not in {each.kind for each in label_doubts({"late": 50}, ("lost",))}


def test_damaged_and_mixed_and_unsure_names_are_named() -> None:
    assert {each.name for each in doubt("damaged", counts("RÃ©clam", "R\ufffdclam", "Réclam", "Ã", "naïve")).labels} == {
        "RÃ©clam", "R\ufffdclam",
    }  # fmt: skip
    assert [each.name for each in doubt("mixed-scripts", counts("cаrd", "card", "карта", "SMS код")).labels] == ["cаrd"]
    assert fold_labels({"cаrd": 90, "card": 3}) == {"cаrd": "card"}  # what can be typed wins
    assert [each.name for each in doubt("unsure", counts("late?", "late", "why?")).labels] == ["late?"]
    assert fold_labels(counts("late?", "late")) == {}


def test_clean_labels_raise_no_doubt() -> None:
    clean = counts(
        "card arrival", "card payment fee charged", "top up by bank transfer charge", "C++", "Wi-Fi", "R&D", "24/7",
        "no", "カード", "نمی\u200cخواهم", "👩\u200d💻 IT help", "Q1", "Q2", "N/A fee", "Ünal",
    )  # fmt: skip
    assert label_doubts(clean) == []
    assert fold_labels(clean) == {}


def test_sentences_agree_with_their_number() -> None:
    assert '"nan" (7) often means that' in doubt("missing", counts("nan", "x")).message
    assert '"nan" (7) and "none" (7) often mean that' in doubt("missing", counts("nan", "none", "x")).message
    many = doubt("missing", counts("nan", "none", "null", "n/a", "na", "todo", "-"))
    assert "and 2 more often mean" in many.message
    assert len(many.labels) == 7


@given(
    st.dictionaries(st.text("aA1.0-;, \u0430é?#{['\"/", min_size=1, max_size=6), st.integers(1, 5), max_size=8),
    st.sets(st.text("aA1.0-", min_size=1, max_size=4), max_size=4),
)
def test_folding_ends_in_labels_that_do_not_fold(given: dict[str, int], known: set[str]) -> None:
    folded = fold_labels(given, known)
    assert folded.keys() <= given.keys() - known
    assert not folded.keys() & set(folded.values())
    after: dict[str, int] = {}
    for name, count in given.items():
        after[folded.get(name, name)] = after.get(folded.get(name, name), 0) + count
    assert fold_labels(after, known) == {}
    for each in label_doubts(given, known):
        assert each.message
        assert each.labels


@pytest.mark.parametrize("name", ["#WERT!", "#¡VALOR!", "#N/D", "#NV", "Err:502", "#CALC!"])
def test_errors_of_spreadsheets_in_any_language_mean_no_label(name: str) -> None:
    assert [each.name for each in doubt("missing", counts(name, "card")).labels] == [name]
    assert "missing" not in kinds("#card", "#1", "err:abc", "error")


def test_minus_one_among_codes_from_0_means_no_label() -> None:
    assert [each.name for each in doubt("missing", counts("-1", "0", "1", "2")).labels] == ["-1"]
    assert "missing" not in kinds("-1", "1") | kinds("-1", "0", "card") | kinds("-2", "-1", "0")


@pytest.mark.parametrize(
    "name", ["R&uuml;ck", "R&#252;ck", "R\\u00fcck", "R%C3%BCck", "R=C3=BCck", "b'card'", "<b>card</b>"]
)
def test_escapes_of_programs_are_markup(name: str) -> None:
    assert [each.name for each in doubt("markup", counts(name, "card")).labels] == [name]
    assert "markup" not in kinds("R&D", "100%", "a=b", "<3", "b'", "AT&T; more")


@pytest.mark.parametrize("name", ["2024-05-01", "2024-05-01T00:00:00", "1/2/2024", "01.02.24", "2-Jan", "Mar-05"])
def test_dates_may_be_labels_that_a_spreadsheet_changed(name: str) -> None:
    assert [each.name for each in doubt("dates", counts(name, "card")).labels] == [name]
    assert "dates" not in kinds("1-2", "1.2", "24/7", "May", "2024", "covid-19") | kinds(name, known=(name,))


@pytest.mark.parametrize("name", ["?????", "??? ????", "Р“РґРµ РјРѕСЏ", "äîñòàâêà", "zur√ºck √§lt√ºr"])
def test_names_whose_letters_were_lost_or_misread_are_damaged(name: str) -> None:
    assert [each.name for each in doubt("damaged", counts(name, "card")).labels] == [name]
