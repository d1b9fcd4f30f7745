"""What looks wrong with texts: letters read in a wrong encoding, escapes, and what is not prose at all."""

import pytest

from sortline.files.text_doubts import TextDoubts

PROSE = [
    "Where is my card? It's late!", "Größe und Maß, 20 € – “sofort”", "Où est l’agence ? Çà et là.", "Где моя карта?",
    "Πού είναι η κάρτα μου;", "カードがまだ届いていません。返金をお願いします。", "我的卡还没有到，请帮我查一下。", "카드가 아직 도착하지 않았습니다.",
    "أين بطاقتي لم تصل بعد", "Gdzie jest moja karta, nie dotarła", "Þórður Ægir á Íslandi", "what???", "???", "no", "no idea",
    "see https://example.org/a for more", "it is in C:\\new\\table", "R&D and AT&T", "AT&amp;T", "[urgent] call me", "{name} called", "b'cause",
    "Đặt hàng ở đâu vậy ạ", "NÃO QUERO ISSO", "联通",
]  # fmt: skip


def messages(*texts: str) -> list[str]:
    doubts = TextDoubts()
    for text in texts:
        doubts.add(text)
    return doubts.messages()


@pytest.mark.parametrize("text", PROSE)
def test_what_people_write_is_not_doubted(text: str) -> None:
    assert messages(text) == []


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Schöne Grüße", "cp1252"), ("Schöne Grüße", "latin-1"), ("Schöne Grüße aus Köln", "mac_roman"),
        ("Schöne Grüße aus Köln", "cp437"), ("Schöne Grüße aus Köln", "cp850"), ("Где моя карта?", "cp1251"),
        ("Где моя карта?", "latin-1"), ("カードを紛失しました", "cp932"), ("我的卡还没有到请查一", "gb18030"), ("20 € – l’été", "cp1252"),
    ],
)  # fmt: skip
def test_utf_8_read_in_any_other_encoding_is_seen(text: str, encoding: str) -> None:
    wrong = text.encode().decode(encoding)

    (message,) = messages(wrong, "Where is my card?")

    assert message.startswith("1 text contains signs like ")
    assert "was read in a wrong encoding before it was saved" in message


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r"])
def test_cyrillic_read_as_western_is_seen(encoding: str) -> None:
    (message,) = messages("Где моя карта?".encode(encoding).decode("latin-1"))
    assert "wrong encoding" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("??? ??? ?????", "hardly more than question marks (??? ??? ?????)"),
        ("nan", "missing value (nan)"), ("None", "missing value (None)"), ("#N/A", "missing value (#N/A)"),
        ("s3://bucket/a.txt", "address of a file or page (s3://bucket/a.txt)"),
        ("/data/upload/1/a.txt", "address of a file"), ("https://example.org/a", "address of a file"),
        ('{"body": "hi"}', 'object as programs write it ({"body": "hi"})'), ('["where", "is"]', "a list or an object"),
        ("['where', 'is']", "a list or an object"), ("{'body': 'hi'}", "a list or an object"),
        ("b'where is it'", "bytes as Python prints them"), ('b"it\'s late"', "bytes as Python prints them"),
        ("Gr&uuml;&szlig;e", "references of HTML (&uuml;)"), ("a&#39;s", "references of HTML (&#39;)"),
        ("first\\nsecond", "\\n written as several characters"), ("\\u0413\\u0434\\u0435", "\\u0413 written as several"),
    ],
)  # fmt: skip
def test_what_is_hardly_prose_is_said_with_an_example(text: str, words: str) -> None:
    (message,) = messages(text, "Where is my card?")
    assert message.startswith("1 text contains ")
    assert words in message


def test_texts_are_counted_and_the_first_is_the_example() -> None:
    assert messages("nan", "NaN", "where") == [
        "2 texts contain only a word or sign that means a missing value (nan): if so, remove these rows; otherwise "
        "they count as texts"
    ]
