"""Options of the command line in messages, named as the fields of the web's import."""

import re

_FIELDS = {
    "--fold-labels": "“Read labels that look alike as one”",
    "--split": "“What the new examples are for”",
    "--delimiter": "“Delimiter”",
    "--quoting": "“Quoting”",
    "--encoding": "“Encoding”",
}
_OPTION = re.compile(r"--[a-z][a-z-]+")


def by_field(message: str) -> str:
    """The message with each option that the page has as a field named so; others stay, for the command line has them."""
    return _OPTION.sub(lambda found: _FIELDS.get(found[0], found[0]), message)
