"""Forms as browsers post them: names and values, each a text that can be kept."""

from collections.abc import Mapping
from urllib.parse import parse_qs

from fastapi import HTTPException, Request
from python_multipart.multipart import parse_options_header

from sortline.text import check_kept, whole_number

Form = dict[str, str]

_MOST_FIELDS = 1000
_UTF_8 = ("", "utf-8", "utf8")


def read_form(raw: bytes) -> Form:
    """The fields of a posted form; of a name that stands twice the first counts.

    Raises:
        HTTPException: 422, it has more fields than any form of ours, or one that can't be kept.
    """
    try:
        fields = parse_qs(raw.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HTTPException(422, f"A form has at most {_MOST_FIELDS:,} fields.") from None
    return check_fields({name: values[0] for name, values in fields.items()})


def check_fields(fields: Mapping[str, str]) -> Form:
    """The fields themselves.

    Raises:
        HTTPException: 422, a name or a value can't be kept.
    """
    for name, value in fields.items():
        try:
            check_kept(name)
            check_kept(value)
        except ValueError as error:
            raise HTTPException(422, f"The field {name[:50]!r} can't be taken: {error}.") from None
    return dict(fields)


def check_charset(request: Request) -> None:
    """See that a form with a file is of the one encoding that browsers send our forms in.

    Raises:
        HTTPException: 415, it names another one: some of Python's codecs are slow, or no encodings of texts at all.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    named = options.get(b"charset", b"").decode("latin-1").strip().lower()
    if named not in _UTF_8:
        raise HTTPException(415, "Forms are read as UTF-8.")


def number(form: Form, name: str, wrong: str, most: int = 2**31 - 1) -> int:
    """A whole number of a form, from 1 to ``most``.

    Raises:
        HTTPException: 422 with the sentence ``wrong``, it is none.
    """
    found = whole_number(form.get(name, ""), most)
    if not found:
        raise HTTPException(422, wrong)
    return found
