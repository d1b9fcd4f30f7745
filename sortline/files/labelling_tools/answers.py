"""What a record of a labelling tool's export yields: a text with one label, or why it is left out."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

Record = Mapping[str, Any]

TEXT_NAMES = ("text", "sentence", "content", "body", "message", "document", "utterance", "description")
LABEL_NAMES = (
    "label", "labels", "category", "class", "intent", "target", "tag", "label_text", "choice", "choices", "sentiment",
    "topic",
)  # fmt: skip
ID_NAMES = ("id", "external_id", "document_id")
# Tools that keep texts in files export the files' addresses instead of texts.
_FILE_ADDRESS = re.compile(r"(?:/data/(?:upload|local-files)/|(?:s3|gs|azure-blob|azure_spi)://)\S+")


class Labelled(NamedTuple):
    """A document; ``label`` is None if nobody has answered yet, ``id`` is "" if it has none.

    ``none_fits``: somebody has answered that no label fits; ``label`` is None then.
    """

    text: str
    label: str | None
    id: str = ""
    none_fits: bool = False


class LeftOut(NamedTuple):
    """Why a record is not an example, worded to follow its line number; ``labels``: those it names."""

    reason: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """Fields that the user gave; empty: found by the tool's own rules. ``label`` may be a question of the tool."""

    text: str = ""
    label: str = ""
    id: str = ""


class Tool(Protocol):
    """The tool that exported a file.

    ``title`` is for people; ``label`` says where labels come from, "" if the user has to say.
    """

    @property
    def title(self) -> str: ...

    @property
    def label(self) -> str: ...

    def read(self, record: Record) -> Labelled | LeftOut:
        """Read one record; whatever it holds, nothing is raised."""

    def document(self, record: Record) -> Labelled | LeftOut:
        """Read a record's text and id, whatever anybody answered."""


def several(labels: Sequence[str]) -> LeftOut:
    """Left out: the document has several labels."""
    return LeftOut(f"has several labels ({listed(labels)}); keep one", tuple(labels))


def ambiguous(questions: Sequence[str]) -> LeftOut:
    """Left out: there are answers to several questions, and nobody has said which one is meant."""
    return LeftOut(f"there are answers to several questions ({listed(questions)}); choose one with --label-column")


def disagreeing(labels: Sequence[str]) -> LeftOut:
    """Left out: people gave the document different labels."""
    return LeftOut(f"people disagree on its label ({listed(labels)}); resolve this in the tool first", tuple(labels))


def listed(names: Sequence[str]) -> str:
    """The first few names, for a sentence."""
    return ", ".join(str(name)[:60] for name in names[:5]) + (", ..." if len(names) > 5 else "")


def names_of(value: Any) -> list[str] | None:
    """The labels in a name, a number or a list of these, each once; None: it is something else."""
    values = value if isinstance(value, list | tuple) else [value]
    names = [_name(each) for each in values if each is not None]
    return None if None in names else list(dict.fromkeys(name for name in names if name))


def _name(value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else None


def as_id(value: Any) -> str:
    """An id as text; "" where there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def id_in(fields: Record, chosen: Chosen, names: Iterable[str] = ID_NAMES) -> str:
    """The id in some fields: the user's choice, else the first of the usual names."""
    return next((id_ for name in ([chosen.id] if chosen.id else names) if (id_ := as_id(fields.get(name)))), "")


def text_in(fields: Record, chosen: Chosen, hint: str = "") -> str | LeftOut:
    """The text in some fields: the user's choice, else the hinted field, else one of the usual names."""
    if chosen.text:
        return _checked(fields.get(chosen.text), chosen.text)
    lower = {name.casefold(): name for name in fields}
    found = next((lower[name] for name in (hint.casefold(), *TEXT_NAMES) if name in lower), None)
    if found is None:
        texts = [name for name, value in fields.items() if isinstance(value, str) and name not in ID_NAMES]
        if len(texts) != 1:
            return LeftOut(
                f"no field is known to hold the text; give one with --text-column: {listed(list(fields)) or 'none'}"
            )
        found = texts[0]
    return _checked(fields[found], found)


def _checked(value: Any, name: str) -> str | LeftOut:
    if not isinstance(value, str) or not value.strip():
        return LeftOut(f"has no text (field {name})")
    if _FILE_ADDRESS.fullmatch(value.strip()):
        return LeftOut(f"has a file's address instead of a text (field {name})")
    return value


def parsed(value: Any) -> Any:
    """The value of a cell that holds JSON; anything else unchanged."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; empty if it is not a list."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else []


def is_true(value: Any) -> bool:
    """Whether a JSON value or a CSV cell means yes."""
    return value is True or (isinstance(value, str) and value.strip().casefold() in ("true", "1"))
