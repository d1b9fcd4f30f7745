"""Exports of labelling tools: which tool a file comes from, and what each of its records yields.

Only submitted answers of people count as labels: no drafts, no skipped, rejected or ignored tasks, no predictions.
A document has one label: records with several, and documents on which people disagree, are left out with the reason.
"""

from collections.abc import Sequence
from itertools import islice

from sortline.files.labelling_tools.agreement import Agreement
from sortline.files.labelling_tools.answers import Chosen, Labelled, LeftOut, Record, Tool
from sortline.files.labelling_tools.argilla import recognise_argilla
from sortline.files.labelling_tools.doccano import recognise_doccano
from sortline.files.labelling_tools.fasttext import fasttext_prefix, is_fasttext, read_fasttext
from sortline.files.labelling_tools.label_studio import recognise_label_studio
from sortline.files.labelling_tools.own_export import recognise_own_export
from sortline.files.labelling_tools.prodigy import recognise_prodigy

__all__ = [
    "Agreement", "Chosen", "Labelled", "LeftOut", "Tool", "fasttext_prefix", "is_fasttext", "read_fasttext",
    "recognise",
]  # fmt: skip

_LOOKED_AT = 200
_NONE_CHOSEN = Chosen()


def recognise(records: Sequence[Record], chosen: Chosen = _NONE_CHOSEN) -> Tool | None:
    """The tool that exported a file, by its first records (JSON objects, or CSV rows by column).

    Args:
        records: the first 200 are checked.
        chosen: what the user gave as text, label (or the tool's question) and id.

    Returns:
        What reads each record; None if no tool exported the file, so that its columns have to be found.
    """
    first = list(islice(records, _LOOKED_AT))
    if not first:
        return None
    for each in (recognise_argilla, recognise_label_studio, recognise_own_export, recognise_prodigy, recognise_doccano):
        tool: Tool | None = each(first, chosen)
        if tool is not None:
            return tool
    return None
