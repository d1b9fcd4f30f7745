"""Finds a text file's encoding: by its byte order mark, as UTF-8, or by a guess that its owner has to confirm."""

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from encodings.aliases import aliases
from pathlib import Path
from typing import NamedTuple

from sortline.errors import ImportFileError

_PIECE = 2**20
_GUESSED_FROM = 2**18  # bytes of non-ASCII lines from which an encoding is guessed
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
# What people call encodings. "ANSI" is Windows' word for its own encoding, in which Excel writes "CSV".
_CALLED = {
    "ansi": "cp1252", "windows": "cp1252", "win": "cp1252", "western": "cp1252", "excel": "cp1252", "msexcel": "cp1252",
    "unicode": "utf-16", "unicodetext": "utf-16", "utf8bom": "utf-8-sig", "utf8withbom": "utf-8-sig",
    "mac": "mac-roman", "macintosh": "mac-roman", "dos": "cp850", "oem": "cp850", "sjis": "cp932", "shiftjis": "cp932",
    "gbk": "gb18030", "gb2312": "gb18030", "chinese": "gb18030", "korean": "cp949", "euckr": "cp949",
    "japanese": "cp932", "cyrillic": "cp1251", "russian": "cp1251",
    "utf8mb4": "utf-8", "ucs2": "utf-16", "ucs2le": "utf-16-le", "xsjis": "cp932", "turkish": "cp1254",
    "vietnamese": "cp1258", "western(windows1252)": "cp1252",
}  # fmt: skip
COMMON = (
    "utf-8", "utf-16", "cp1252 (Western, what Excel writes as CSV; also called ansi)", "cp1250 (Central European)",
    "cp1251 (Cyrillic)", "cp1253 (Greek)", "cp1254 (Turkish)", "latin-1", "latin-9", "mac-roman", "cp932 (Japanese)",
    "gb18030 (Chinese)", "big5", "cp949 (Korean)",
)  # fmt: skip
# Codecs of the standard library that don't encode text, that exist on one system only, or that produce halves of
# surrogate pairs (utf_7). Codecs without an alias (idna, punycode, unicode_escape) are not allowed either: some take
# time that grows with the square of a file's length.
_NO_TEXT = frozenset(("base64_codec", "bz2_codec", "hex_codec", "mbcs", "quopri_codec", "rot_13", "uu_codec", "utf_7",
                      "zlib_codec"))  # fmt: skip
ALLOWED = frozenset((*aliases.values(), "utf_8_sig", "cp875", "koi8_t", "koi8_u", "mac_croatian")) - _NO_TEXT
_LONGEST_NAME = 40
# Names without separators.
_NAMED = {
    re.sub(r"[\s_.-]+", "", name): codec
    for name, codec in (*((each, each) for each in ALLOWED), *aliases.items()) if codec in ALLOWED
}  # fmt: skip
_LETTERS = re.compile(rb"[A-Za-z ]")
_JAPANESE_ESCAPES = re.compile(rb"\x1b\$[@B]")  # ISO-2022-JP, of mail, is ASCII with these
_C1 = re.compile("[\x80-\x9f]")
_SNIFFED = 2**16  # bytes
_FEW = 8  # bytes
_SAMPLE = 60  # characters around the first non-ASCII one
_SAMPLES = 3


_DAMAGED = "{path} is {name}, but damaged or cut off: in line {line:,} {why}; save it again, or correct that line"


class Encoding(NamedTuple):
    """An encoding by Python's name; ``guess``: it was guessed, and ``samples`` show how the file reads in it."""

    name: str
    guess: bool = False
    samples: tuple[str, ...] = ()


def find_encoding(path: Path, asked: str = "") -> Encoding:
    """The encoding in which the whole file can be read.

    Args:
        asked: the encoding its owner gave; empty: by its mark, else UTF-8, else UTF-16, else guessed by chardet.

    Raises:
        ImportFileError: the name is unknown, or the file can't be read in it; the message says at which line, and
        which encoding would work.
    """
    if asked:
        name = known_name(asked)
        _check(path, name, asked)
        return Encoding(name)
    with path.open("rb") as file:
        head = file.read(_PIECE)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), "")
    if name := marked or utf_16_without_mark(head) or utf_32_without_mark(head):
        if bad := _first_bad(path, name):
            shown = name.removesuffix("-sig").upper()
            raise ImportFileError(_DAMAGED.format(path=path, name=shown, line=bad[0], why=bad[1]))
        return Encoding(name)
    where = _first_bad(path, "utf-8")
    if where is None:
        escaped = _JAPANESE_ESCAPES.search(head) is not None and _first_bad(path, "iso2022_jp") is None
        return _guessed(path, "iso2022_jp") if escaped else Encoding("utf-8")
    if _is_damaged_utf_8(path):
        raise ImportFileError(_DAMAGED.format(path=path, name="UTF-8", line=where[0], why=where[1]))
    return _guess(path)


def known_name(asked: str) -> str:
    """Python's name of an encoding that a person gave.

    Raises:
        ImportFileError: it is unknown; the message lists common ones.
    """
    plain = re.sub(r"[\s_.-]+", "", asked[:_LONGEST_NAME].lower())
    plain = re.sub(r"^(?:windows|win)(?=\d)", "cp", plain)
    try:
        if len(asked) > _LONGEST_NAME:
            raise LookupError
        found = codecs.lookup(_NAMED[re.sub(r"[\s_.-]+", "", _CALLED.get(plain, plain))])
    except LookupError:
        shown = asked.encode("ascii", "backslashreplace").decode()[:40]
        raise ImportFileError(f"the encoding {shown!r} is unknown; common ones are {', '.join(COMMON)}") from None
    if found.name == "utf-8":
        return "utf-8-sig"  # removes a byte order mark
    # Simplified Chinese: GB 18030 contains both older sets.
    return {"gbk": "gb18030", "gb2312": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}.get(found.name, found.name)


def _check(path: Path, name: str, asked: str) -> None:
    """Check that the whole file can be read in an encoding.

    Raises:
        ImportFileError: it can't, or it yields control characters that no text has.
    """
    bad = _first_bad(path, name)
    if bad is None:
        return
    line, why = bad
    try:
        guess = _guess(path)
        better = "" if codecs.lookup(guess.name) == codecs.lookup(name) else f"; {_advice(guess)}"
    except ImportFileError:
        better = "; no other encoding fits either, so the file may be damaged or cut off"
    raise ImportFileError(f"{path}: line {line:,} can't be read as {asked}: {why}{better}")


def _advice(guess: Encoding) -> str:
    return (
        f"the file looks like {guess.name} and then reads {_quoted(guess.samples)}; if that is correct, give this "
        f"encoding (--encoding {guess.name})"
    )


def refused_guess(path: Path, guess: Encoding) -> str:
    """The error for a file whose encoding is a guess that nobody has confirmed."""
    return f"{path} is not UTF-8 and does not state its encoding; {_advice(guess)}"


def _quoted(samples: tuple[str, ...]) -> str:
    return ", ".join(f"“{sample}”" for sample in samples)


def _first_bad(path: Path, name: str) -> tuple[int, str] | None:
    """The first line, from 1, that can't be read in an encoding, and why; None: the whole file can be read.

    No text has control characters from U+0080 to U+009F: they result from reading cp1252 as Latin-1.
    """
    decoder = codecs.getincrementaldecoder(name)("strict")
    line = 1
    with path.open("rb") as file:
        while True:
            raw = file.read(_PIECE)
            try:
                text = decoder.decode(raw, final=not raw)
            except UnicodeDecodeError as error:
                line += _lines(error.object[: error.start], name)
                shown = " ".join(f"0x{byte:02X}" for byte in error.object[error.start : error.end][:4])
                return (
                    line,
                    f"the bytes {shown} are not valid in it" if " " in shown else f"byte {shown} is not valid in it",
                )
            except UnicodeError as error:  # UTF-16 without the mark that the codec needs
                return line, str(error)
            found = _C1.search(text) if name not in ("utf-8", "utf-8-sig") else None
            if found:
                line += text.count("\n", 0, found.start())
                return line, f"it would contain the control character U+{ord(found[0]):04X}, which no text has"
            line += text.count("\n")
            if not raw:
                return None


def _lines(raw: bytes, name: str) -> int:
    return raw.decode(name, "ignore").count("\n") if name.startswith(("utf-16", "utf-32")) else raw.count(b"\n")


def utf_16_without_mark(head: bytes) -> str:
    """Which UTF-16 a file without a mark begins in; empty if it is not UTF-16."""
    if b"\x00" not in head or _is_of_single_bytes(head):
        return ""
    return next((name for name in ("utf-16-le", "utf-16-be") if _reads_as(head, name)), "")


def utf_32_without_mark(head: bytes) -> str:
    """Which UTF-32 a file without a mark begins in: of four bytes the highest is always NUL, the next nearly so."""
    pieces = [head[:_SNIFFED][start::4] for start in range(4)]
    for name, highest, next_one in (("utf-32-le", pieces[3], pieces[2]), ("utf-32-be", pieces[0], pieces[1])):
        if highest and not highest.strip(b"\x00") and next_one.count(0) > 0.9 * len(next_one):
            return name
    return ""


def _is_of_single_bytes(head: bytes) -> bool:
    """Whether it is text in single bytes with some NULs, whose pairs of letters UTF-16 would read as Chinese."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return len(_LETTERS.findall(head)) > len(head) * 0.6
    return not any(_are_of_alphabets(head[start::2]) for start in (0, 1))


def _are_of_alphabets(half: bytes) -> bool:
    """Whether every second byte may be the one that names the alphabet: always the same few, one of them NUL."""
    commonest = Counter(half).most_common(3)
    return half.count(0) > len(half) / 20 and sum(count for _, count in commonest) > len(half) * 0.8


def _reads_as(head: bytes, name: str) -> bool:
    """Whether bytes are UTF-16 in this byte order: characters of text, and ASCII spaces or line ends."""
    text = head[: len(head) // 2 * 2].decode(name, "ignore")[:20_000]
    if not text or not any(c in " \n\t,;" for c in text):
        return False
    odd = sum(unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c not in "\r\n\t" for c in text)
    return odd <= len(text) / 1000


def _guess(path: Path) -> Encoding:
    """The encoding that chardet guesses, if the whole file can be read in it.

    Raises:
        ImportFileError: nothing fits.
    """
    import chardet

    sample = b"".join(_non_ascii_lines(path))
    candidates = [str(each["encoding"]) for each in chardet.detect_all(sample) if each["encoding"]]
    if sum(byte > 127 for byte in sample) < _FEW:  # too few to recognise rare encodings
        candidates.insert(0, "cp1252")
    for candidate in [*candidates, "cp1252"]:
        try:
            name = known_name(candidate)
        except ImportFileError:
            continue
        if name != "utf-8-sig" and _first_bad(path, name) is None:
            return _guessed(path, name)
    raise ImportFileError(
        f"the encoding of {path} can't be recognised; the file may be damaged, or not text. If you know its encoding, "
        f"give it with --encoding; common ones are {', '.join(COMMON)}"
    )


def _guessed(path: Path, name: str) -> Encoding:
    return Encoding(name, True, _samples(path, name))


def _is_damaged_utf_8(path: Path) -> bool:
    """Whether most of what is not ASCII is UTF-8: no other encoding looks like that by chance."""
    text = b"".join(_non_ascii_lines(path)).decode("utf-8", "replace")
    bad = text.count("\N{REPLACEMENT CHARACTER}")
    return sum(c > "\x7f" for c in text) - bad >= max(1, bad)


def _non_ascii_lines(path: Path) -> Iterator[bytes]:
    """The file's first lines that are not ASCII, whole, for an encoding detector."""
    taken = 0
    with path.open("rb") as file:
        while taken < _GUESSED_FROM and (line := file.readline(_PIECE)):
            if not line.isascii() or _JAPANESE_ESCAPES.search(line):
                yield line
                taken += len(line)


def _samples(path: Path, name: str) -> tuple[str, ...]:
    """A few pieces of the file as it reads in an encoding, around characters that are not ASCII."""
    found: list[str] = []
    for raw in _non_ascii_lines(path):
        text = raw.decode(name, "replace").strip()
        at = next((i for i, c in enumerate(text) if c > "\x7f"), 0)
        piece = text[max(0, at - _SAMPLE // 2) : at + _SAMPLE // 2].strip()
        if piece not in found:
            found.append(piece)
        if len(found) == _SAMPLES:
            break
    return tuple(found)
