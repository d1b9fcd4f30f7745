"""Command line options in messages, named as the fields of the import page."""

import re

_FIELDS = {
    "--text-column": "“Text”",
    "--label-column": "“Label”",
    "--id-column": "“Id”",
    "--fold-labels": "“Read labels that look alike as one”",
    "--split": "“What the new examples are for”",
    "--delimiter": "“Delimiter”",
    "--quoting": "“Quoting”",
    "--encoding": "“Encoding”",
}
_OPTION = re.compile(r"--[a-z][a-z-]+")


def by_field(message: str) -> str:
    """The message with each option named as the page's field for it; options without a field stay as they are."""
    return _OPTION.sub(lambda found: _FIELDS.get(found[0], found[0]), message)
