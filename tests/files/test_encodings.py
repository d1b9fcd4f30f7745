"""In which encoding a file is: by its mark, as UTF-8, as UTF-16 without a mark, or a guess that is shown."""

from pathlib import Path

import pytest

from sortline.errors import ImportFileError
from sortline.files.encodings import find_encoding, known_name
from sortline.files.opening import Asked, opened

TEXTS = {
    "western": ["Die Rechnung über 20 € ist falsch – bitte prüfen", "“Où est ma carte?” – l’agence est fermée", "Größe"],
    "cyrillic": ["Где моя карта, она не пришла", "Верните деньги за заказ, пожалуйста", "Спасибо за быструю помощь"],
    "japanese": ["カードがまだ届いていません。", "返金をお願いします。注文番号は123です。", "ありがとうございました。"],
    "chinese": ["我的卡还没有到，请帮我查一下。", "请退款，订单号是123。", "谢谢你们的帮助，非常满意。"],
    "korean": ["카드가 아직 도착하지 않았습니다.", "환불을 요청합니다. 주문 번호는 123입니다.", "감사합니다."],
    "greek": ["Πού είναι η κάρτα μου, δεν έφτασε", "Θέλω τα χρήματά μου πίσω", "Ευχαριστώ για τη βοήθεια"],
    "hindi": ["मेरा कार्ड कहाँ है", "कृपया मेरे पैसे वापस करें", "धन्यवाद"],
    "thai": ["บัตรของฉันอยู่ที่ไหน", "กรุณาคืนเงินให้ฉันด้วย", "ขอบคุณ"],
    "arabic": ["أين بطاقتي لم تصل بعد", "أرجو إعادة المال", "شكرا لكم"],
    "polish": ["Gdzie jest moja karta, nie dotarła", "Proszę o zwrot pieniędzy za zamówienie", "Dziękuję bardzo, świetnie"],
}  # fmt: skip


def put(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    return path


def table(texts: list[str], times: int = 1) -> str:
    return "text,label\n" + "".join(f'"{text}",card\n' for text in texts) * times


def read(path: Path, encoding: str = "") -> list[str]:
    with opened(path, Asked(encoding=encoding)) as reading:
        rows = list(reading.rows())
    assert not [row.error for row in rows if row.error]
    return [row.text for row in rows]


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "bom-utf-16-be"],
)
def test_unicode_is_read_without_a_question(tmp_path: Path, language: str, encoding: str) -> None:
    content = table(TEXTS[language])
    raw = b"\xfe\xff" + content.encode("utf-16-be") if encoding.startswith("bom") else content.encode(encoding)
    path = put(tmp_path, raw)

    assert not find_encoding(path).guess
    assert read(path) == TEXTS[language]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_needs_no_latin_letter(tmp_path: Path, encoding: str) -> None:
    path = put(tmp_path, "我的卡还没有到，请帮我查一下。\n请退款，订单号。\n".encode(encoding))

    assert find_encoding(path).name == encoding
    assert read(path) == ["我的卡还没有到，请帮我查一下。", "请退款，订单号。"]


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("western", "cp1252"), ("cyrillic", "cp1251"), ("cyrillic", "koi8-r"), ("japanese", "cp932"),
        ("japanese", "euc_jp"), ("japanese", "iso2022_jp"), ("chinese", "gb18030"), ("chinese", "big5"), ("korean", "cp949"), ("greek", "cp1253"),
        ("polish", "cp1250"),
    ],
)  # fmt: skip
def test_others_are_guessed_in_sight_or_refused_and_read_when_named(
    tmp_path: Path, language: str, encoding: str
) -> None:
    texts = TEXTS[language] if encoding != "big5" else ["我的卡還沒有到，請幫我查一下。", "請退款，訂單號碼是一二三。"]
    path = put(tmp_path, table(texts, 5).encode(encoding))

    found = find_encoding(path)

    assert found.guess
    assert found.samples
    assert found.samples[0].strip('",card') in texts[0]
    assert read(path, found.name) == read(path, encoding) == texts * 5


def test_a_guess_reads_the_whole_file_and_not_its_beginning(tmp_path: Path) -> None:
    path = put(tmp_path, table(["plain words only"], 50_000).encode() + "Größe 20 €,card\n".encode("cp1252"))

    found = find_encoding(path)

    assert (found.name, found.guess) == ("cp1252", True)
    assert found.samples == ("Größe 20 €,card",)


def test_two_bytes_are_taken_for_what_excel_writes(tmp_path: Path) -> None:
    found = find_encoding(put(tmp_path, "text,label\ncafé,card\nit’s,card\n".encode("cp1252")))

    assert (found.name, found.guess) == ("cp1252", True)


def test_utf_8_cut_in_the_middle_of_a_character_is_named_by_its_line(tmp_path: Path) -> None:
    path = put(tmp_path, table(["Größe"]).encode() + "ü".encode()[:1])
    with pytest.raises(ImportFileError, match="line 3 can't be read as utf-8"):
        find_encoding(path, "utf-8")

    path = put(tmp_path, table(TEXTS["chinese"]).encode() + "到".encode()[:2])
    with pytest.raises(ImportFileError, match="line 5 can't be read as utf8"):
        find_encoding(path, "utf8")
    with pytest.raises(ImportFileError, match=r"is UTF-8, but damaged or cut off: in line 5 the bytes 0xE5 0x88"):
        find_encoding(path)


def test_a_file_of_two_encodings_is_refused_by_line(tmp_path: Path) -> None:
    path = put(tmp_path, table(TEXTS["western"], 3).encode() + "Größe zu klein,card\n".encode("cp1252"))

    with pytest.raises(ImportFileError, match="is UTF-8, but damaged or cut off: in line 11 byte 0xF6"):
        find_encoding(path)


def test_a_mark_that_the_file_does_not_keep_is_refused_by_line(tmp_path: Path) -> None:
    path = put(tmp_path, b"\xef\xbb\xbftext,label\ncaf\xe9,card\n")
    with pytest.raises(ImportFileError, match="is UTF-8, but damaged or cut off: in line 2 byte 0xE9"):
        find_encoding(path)
    path = put(tmp_path, "text,label\n".encode("utf-16") + b"\0")
    with pytest.raises(ImportFileError, match="is UTF-16, but damaged or cut off: in line 2 byte 0x00"):
        find_encoding(path)


@pytest.mark.parametrize("asked", ["latin-1", "latin1", "ISO-8859-1", "iso8859_1"])
def test_latin_1_of_a_windows_file_is_refused_and_the_right_name_given(tmp_path: Path, asked: str) -> None:
    path = put(tmp_path, "text,label\nplain,card\nit’s 20 €,card\n".encode("cp1252"))

    with pytest.raises(
        ImportFileError, match=r"line 3 can't be read as .*: it would contain the control character U\+00"
    ) as refused:
        find_encoding(path, asked)

    assert "--encoding cp1252" in str(refused.value)
    assert read(path, "cp1252") == ["plain", "it’s 20 €"]


def test_latin_1_of_a_file_without_windows_signs_is_read(tmp_path: Path) -> None:
    assert read(put(tmp_path, "text,label\ncafé,card\n".encode("latin-1")), "latin-1") == ["café"]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("ansi", "cp1252"), ("ANSI", "cp1252"), ("excel", "cp1252"), ("Windows-1252", "cp1252"), ("cp-1252", "cp1252"),
        ("windows 1252", "cp1252"), ("latin1", "iso8859-1"), ("Latin 1", "iso8859-1"), ("latin-9", "iso8859-15"),
        ("UTF8", "utf-8-sig"), ("utf-8 bom", "utf-8-sig"), ("Unicode", "utf-16"), ("UTF-16LE", "utf-16-le"),
        ("utf 16", "utf-16"), ("mac", "mac-roman"), ("shift-jis", "cp932"), ("Shift_JIS", "cp932"), ("SJIS", "cp932"),
        ("GBK", "gb18030"), ("gb2312", "gb18030"), ("GB-18030", "gb18030"), ("euc-kr", "cp949"), ("big5", "big5"),
        ("windows-1251", "cp1251"), ("win1251", "cp1251"), ("1252", "cp1252"), ("koi8r", "koi8-r"), ("ascii", "ascii"),
        ("iso 8859-2", "iso8859-2"), ("dos", "cp850"), ("utf8mb4", "utf-8-sig"), ("UCS-2 LE", "utf-16-le"),
        ("x-sjis", "cp932"), ("Western (Windows 1252)", "cp1252"), ("Turkish", "cp1254"),
    ],
)  # fmt: skip
def test_names_that_people_type_are_understood(asked: str, name: str) -> None:
    assert known_name(asked) == name


@pytest.mark.parametrize(
    "asked",
    [
        "german",
        "utf-9",
        "base64",
        "rot13",
        "hex",
        "zlib",
        "idna",
        "punycode",
        "unicode_escape",
        "\0",
        "ü" * 99,
        "undefined",
    ],
)
def test_other_names_are_answered_with_the_list(asked: str) -> None:
    with pytest.raises(ImportFileError, match="is unknown; common ones are utf-8, utf-16, cp1252"):
        known_name(asked)


@pytest.mark.parametrize("asked", ["utf-16", "utf-16-le", "utf-32", "cp932", "gb18030", "ascii", "big5"])
def test_a_wrong_name_never_stores_damaged_texts(tmp_path: Path, asked: str) -> None:
    path = put(tmp_path, table(TEXTS["western"]).encode("cp1252"))

    with pytest.raises(ImportFileError, match="can't be read as") as refused:
        find_encoding(path, asked)

    assert "cp1252" in str(refused.value)


def test_advice_can_be_followed(tmp_path: Path) -> None:
    for language, encoding in (("western", "cp1252"), ("cyrillic", "cp1251"), ("japanese", "cp932")):
        path = put(tmp_path, table(TEXTS[language]).encode(encoding))
        with pytest.raises(ImportFileError) as refused:
            find_encoding(path, "utf-8")
        named = str(refused.value).split("--encoding ")[1].split()[0].strip(".,;)")
        assert read(path, named) == TEXTS[language]


def test_bytes_that_no_encoding_reads_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path, b"text,label\n" + bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D)) * 3 + b"\xff\xfe\x80 x,card\n")

    with pytest.raises(ImportFileError, match=r"neither UTF-8 nor any other encoding|line"), opened(path) as reading:
        if reading.encoding.guess:
            raise ImportFileError("line: a guess, shown first")


def test_a_guess_never_gives_control_characters(tmp_path: Path) -> None:
    found = find_encoding(put(tmp_path, "text,label\nl’été à 20 €,card\n".encode("cp1252")))

    assert found.guess
    assert not [
        c for sample in found.samples for c in sample if 0x80 <= ord(c) <= 0x9F or c == "\N{REPLACEMENT CHARACTER}"
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"text,label\nhello\0 world,card\nnext one,card\n",
        b"nr,text,label\n1,\0,card\n2,next one,card\n",
        "text,label\nüber\0,\0,card\nnext one,card\n".encode(),
        "text,label\nhier ist \0die Karte\0,\0 sagt er,card\nnext one,card\n".encode("cp1252"),
    ],
)  # fmt: skip
def test_text_with_a_nul_in_it_is_not_taken_for_chinese(tmp_path: Path, raw: bytes) -> None:
    path = put(tmp_path, raw)

    with opened(path) as reading:
        rows = list(reading.rows())

    assert [row.text for row in rows if not row.error] == ["next one"]
    assert [row.line for row in rows if row.error] == [2]
