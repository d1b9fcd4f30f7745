"""What looks wrong with a file's ids: repeated, rounded by a spreadsheet, partly missing, or spelled differently.

Memory is bounded: 16 bytes of hashes per row, and the first ids as examples. With ten million ids the chance that two
are confused is a few millionths.
"""

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["rounded", "repeated", "decimal", "spelled", "missing"]

_PARTS = 256  # searched one at a time
_HALF = 2**32
_REMEMBERED = 20_000  # ids that can be shown
_SHOWN = 3
_NUMERIC = frozenset("+-0123456789")
# 1.23457E+17 and 1,23457E+17 are long numbers as a spreadsheet shows and saves them. 1E5 may be a code.
_EXPONENT = re.compile(r"[+-]?\d(?:[.,]\d+[eE][+-]?\d+|[eE]\+\d+)")
# Spreadsheets keep 15 digits of a number and replace the others with zeros.
_LONG = re.compile(r"\d{16,}(?:\.0+)?")
_FIFTEEN_DIGITS = re.compile(r"\d{15}0+(?:\.0+)?")
_LEAST_LONG = 5  # so many ids all end in a zero by chance in one of 100,000 files
_DECIMAL = re.compile(r"(\d+)\.0+")


@dataclass(frozen=True, slots=True)
class IdDoubt:
    """One thing that looks wrong: ``seen`` says what; ``advice`` says what follows and what to do.

    ``rows``: how many are affected; ``examples``: some of their ids.
    """

    kind: Kind
    rows: int
    examples: tuple[str, ...]
    seen: str
    advice: str

    @property
    def message(self) -> str:
        """One sentence for people: what was found, what follows, and what to do."""
        return f"{self.seen}: {self.advice}"


@dataclass(slots=True)
class _Counted:
    """Ids of one form: how many there are, and the first distinct ones."""

    rows: int = 0
    examples: tuple[str, ...] = ()

    def add(self, id: str) -> None:
        self.rows += 1
        if len(self.examples) < _SHOWN and id not in self.examples:
            self.examples = (*self.examples, id)


@dataclass(slots=True)
class _Repeated:
    """Ids on several rows: how many there are, their rows, and the remembered ones."""

    ids: int = 0
    rows: int = 0
    hashes: tuple[int, ...] = ()

    def add(self, rows: int, hashed: int, remembered: bool) -> None:
        self.ids += 1
        self.rows += rows
        if remembered and len(self.hashes) < 100:
            self.hashes = (*self.hashes, hashed)


class IdDoubts:
    """Takes a file's rows one after the other, then says what looks wrong with their ids."""

    def __init__(self) -> None:
        self._folded = [array("Q") for _ in range(_PARTS)]  # hash of the id as it is probably meant
        self._exact = [array("Q") for _ in range(_PARTS)]  # half a hash of the id as written, half a hash of the text
        self._remembered: dict[int, tuple[str, ...]] = {}
        self._rows = self._missing = 0
        self._exponents, self._long, self._noughts, self._decimals = (_Counted() for _ in range(4))

    def add(self, id: str, text: str | bytes) -> None:
        """Take a row's id ("" if it has none), and its text or a digest of it."""
        self._rows += 1
        id = id.strip()
        if not id:
            self._missing += 1
            return
        folded = hash(_as_meant(id)) % 2**64
        self._folded[folded % _PARTS].append(folded)
        self._exact[folded % _PARTS].append(hash(id) % _HALF * _HALF + hash(text) % _HALF)
        self._remember(id, folded)
        if id[0] not in _NUMERIC:
            return
        if _EXPONENT.fullmatch(id):
            self._exponents.add(id)
        elif _LONG.fullmatch(id):
            self._long.add(id)
            if _FIFTEEN_DIGITS.fullmatch(id):
                self._noughts.add(id)
        elif _DECIMAL.fullmatch(id):
            self._decimals.add(id)

    def doubts(self) -> list[IdDoubt]:
        """What looks wrong, most serious first."""
        repeated, spelled = self._on_several_rows()
        return [*self._rounded(repeated), *self._versions(repeated), *self._decimal(), *self._spelled(spelled),
                *self._without()]  # fmt: skip

    def _remember(self, id: str, folded: int) -> None:
        spellings = self._remembered.get(folded, ())
        if id not in spellings and len(spellings) < _SHOWN and (spellings or len(self._remembered) < _REMEMBERED):
            self._remembered[folded] = (*spellings, id)

    def _on_several_rows(self) -> tuple[_Repeated, _Repeated]:
        """Ids with different texts, and ids that differ only in spelling."""
        repeated, spelled = _Repeated(), _Repeated()
        for folded, exact in zip(self._folded, self._exact, strict=True):
            for hashed, rows in _differing(folded, exact).items():
                texts: dict[int, set[int]] = {}
                for row in rows:
                    texts.setdefault(row // _HALF, set()).add(row % _HALF)
                several = {id for id, of_id in texts.items() if len(of_id) > 1}
                if several:
                    count = sum(row // _HALF in several for row in rows)
                    repeated.add(count, hashed, hashed in self._remembered)
                if len(texts) > 1:
                    spelled.add(len(rows), hashed, hashed in self._remembered)
        return repeated, spelled

    def _rounded(self, repeated: _Repeated) -> Iterator[IdDoubt]:
        noughts = [id for hashed in repeated.hashes for id in self._remembered[hashed] if _FIFTEEN_DIGITS.fullmatch(id)]
        all_noughts = self._noughts.rows == self._long.rows and len(self._noughts.examples) == _SHOWN
        if self._exponents.rows:
            rows, examples = self._exponents.rows, self._exponents.examples
        elif noughts or (all_noughts and self._long.rows >= _LEAST_LONG):
            rows, examples = self._noughts.rows, tuple(noughts[:_SHOWN]) or self._noughts.examples
        else:
            return
        yield IdDoubt(
            "rounded", rows, examples,
            f"{_have_ids(rows)} that a spreadsheet rounded ({_quoted(examples)})",
            "different documents now have the same id, and the lost digits can't be recovered; export the file again "
            "from its source with this column as text, or choose another id column, or none",
        )  # fmt: skip

    def _versions(self, repeated: _Repeated) -> Iterator[IdDoubt]:
        if repeated.ids:
            examples = tuple(self._remembered[hashed][0] for hashed in repeated.hashes[:_SHOWN])
            such = f" ({_quoted(examples)})" if examples else ""
            yield IdDoubt(
                "repeated", repeated.rows, examples,
                f"{_ids(repeated.ids)} on {_rows(repeated.rows)} with different texts{such}",
                "texts with the same id count as versions of one document, and search finds the newest; if each row is "
                "a separate document, choose another id column, or none",
            )  # fmt: skip

    def _decimal(self) -> Iterator[IdDoubt]:
        if self._decimals.rows:
            yield IdDoubt(
                "decimal", self._decimals.rows, self._decimals.examples,
                f"{_have_ids(self._decimals.rows)} with a needless decimal point ({_quoted(self._decimals.examples)})",
                "these ids differ from the same numbers without one; programs add it if a column has empty cells, so "
                "write the column as whole numbers or as text",
            )  # fmt: skip

    def _spelled(self, spelled: _Repeated) -> Iterator[IdDoubt]:
        if spelled.ids:
            examples = next((self._remembered[each] for each in spelled.hashes if len(self._remembered[each]) > 1), ())
            such = f" ({_quoted(examples)})" if examples else ""
            yield IdDoubt(
                "spelled", spelled.rows, examples,
                f"the ids of {_rows(spelled.rows)} differ only in capitals, spaces, leading zeros or a decimal "
                f"point{such}",
                "they count as different documents; if they are the same, write them alike",
            )  # fmt: skip

    def _without(self) -> Iterator[IdDoubt]:
        if 0 < self._missing < self._rows:
            has = "has" if self._missing == 1 else "have"
            yield IdDoubt(
                "missing", self._missing, (),
                f"{self._missing:,} of {_rows(self._rows)} {has} no id",
                "such an id is made from the text, so a corrected text becomes another document; if these documents "
                "have ids, fill in the column",
            )  # fmt: skip


def _differing(folded: "array[int]", exact: "array[int]") -> dict[int, list[int]]:
    """Rows by the hash of their id as meant, for those that are not all the same id and text."""
    first: dict[int, int] = {}
    several = {hashed for hashed, row in zip(folded, exact, strict=True) if first.setdefault(hashed, row) != row}
    found: dict[int, list[int]] = {hashed: [] for hashed in several}
    for hashed, row in zip(folded, exact, strict=True) if several else ():
        if hashed in several:
            found[hashed].append(row)
    return found


def _as_meant(id: str) -> str:
    """An id without what people and programs change by accident: capitals, spaces, leading zeros, `.0`."""
    if "." in id and (decimal := _DECIMAL.fullmatch(id)):
        id = decimal[1]
    return "".join(id.split()).casefold().lstrip("0") or "0"


def _quoted(ids: tuple[str, ...]) -> str:
    shown = [f'"{id[:40]}…"' if len(id) > 41 else f'"{id}"' for id in ids]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _have_ids(rows: int) -> str:
    return f"{rows:,} row has an id" if rows == 1 else f"{rows:,} rows have ids"


def _ids(count: int) -> str:
    return f"{count:,} id is" if count == 1 else f"{count:,} ids are"
