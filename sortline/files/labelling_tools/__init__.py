"""Exports of labelling tools: which tool a file comes from, and what each of its records comes to.

Nothing labels but what a person answered and handed in: no draft, no skipped, rejected or ignored task, no prediction.
One label a document: records with several, and documents on which people disagree, are left out and say so.
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
    """The tool whose export a file is, by its first records (objects of JSON, or rows of CSV by column).

    Args:
        records: of which the first 200 are looked at.
        chosen: what the user named as text, label (or the tool's question) and id.

    Returns:
        What reads each record; None where the file is of no tool, and columns are to be found.
    """
    first = list(islice(records, _LOOKED_AT))
    if not first:
        return None
    for each in (recognise_argilla, recognise_label_studio, recognise_own_export, recognise_prodigy, recognise_doccano):
        tool: Tool | None = each(first, chosen)
        if tool is not None:
            return tool
    return None
