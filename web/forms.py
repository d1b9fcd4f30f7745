"""Forms as browsers post them: names and values, each a text that can be stored."""

from collections.abc import Mapping
from urllib.parse import parse_qs

from fastapi import HTTPException, Request
from python_multipart.multipart import parse_options_header

from sortline.text import check_kept, whole_number

Form = dict[str, str]

_MOST_FIELDS = 1000
_UTF_8 = ("", "utf-8", "utf8")


def read_form(raw: bytes) -> Form:
    """The fields of a posted form; if a name occurs twice, the first counts.

    Raises:
        HTTPException: 422, it has more fields than any form of ours, or one that can't be stored.
    """
    try:
        fields = parse_qs(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HTTPException(422, f"A form may have at most {_MOST_FIELDS:,} fields.") from None
    return check_fields({name: values[0] for name, values in fields.items()})


def check_fields(fields: Mapping[str, str]) -> Form:
    """The fields themselves, checked.

    Raises:
        HTTPException: 422, a name or a value can't be stored.
    """
    for name, value in fields.items():
        try:
            check_kept(name)
            check_kept(value)
        except ValueError as error:
            raise HTTPException(422, f"The field {name[:50]!r} can't be accepted: {error}.") from None
    return dict(fields)


def check_charset(request: Request) -> None:
    """Check that a form with a file is in the one encoding in which browsers send our forms.

    Raises:
        HTTPException: 415, it names another one: some of Python's codecs are slow, or not encodings of text at all.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    named = options.get(b"charset", b"").decode("latin-1").strip().lower()
    if named not in _UTF_8:
        raise HTTPException(415, "The form must be encoded as UTF-8.")


def number(form: Form, name: str, wrong: str, most: int = 2**31 - 1) -> int:
    """A whole number from a form, from 1 to ``most``.

    Raises:
        HTTPException: 422 with the sentence ``wrong``, it is not one.
    """
    found = whole_number(form.get(name, ""), most)
    if not found:
        raise HTTPException(422, wrong)
    return found
