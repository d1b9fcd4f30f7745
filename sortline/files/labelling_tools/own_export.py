"""Sortline's own exports as CSV, JSONL and Parquet; its exports for other tools are read as theirs."""

from collections.abc import Sequence
from dataclasses import dataclass

from sortline.files.labelling_tools.answers import Chosen, Labelled, LeftOut, Record, as_id, text_in

_COLUMNS = {"id", "source", "text", "label", "action", "decided_at", "predicted", "received_at"}


@dataclass(frozen=True, slots=True)
class OwnExport:
    """Documents with people's decisions; predictions don't count as labels."""

    title: str = "Sortline's export"
    label: str = "label (what people decided)"

    def document(self, record: Record) -> Labelled | LeftOut:
        text = text_in(record, Chosen("text"))
        return text if isinstance(text, LeftOut) else Labelled(text, None, as_id(record.get("id")))

    def read(self, record: Record) -> Labelled | LeftOut:
        document = self.document(record)
        if isinstance(document, LeftOut):
            return document
        label = record.get("label")
        if isinstance(label, str) and label:
            return document._replace(label=label)
        return document._replace(none_fits=record.get("action") == "none_fits")


def recognise_own_export(records: Sequence[Record], chosen: Chosen) -> OwnExport | None:
    """Recognise Sortline's export by its columns, unless the user chose others; None: it is not one."""
    others = {chosen.text, chosen.label, chosen.id} - {"", "text", "label", "id"}
    return OwnExport() if not others and all(each.keys() >= _COLUMNS for each in records) else None
