"""Every table that hangs on documents is known to erasure: a new one fails here until it is."""

from db.models import Table
from db.queries.erasure import HANGING

# Columns that name a document without a foreign key, and why their rows stay or who deletes them.
_KNOWN = {
    ("predictions", "document_id"): "hangs",
    ("snapshot_reviews", "review_id"): "numbers alone: which decisions made a model stays countable",
    ("dead_letters", "external_id"): "deleted by name",
    (
        "label_examples",
        "text",
    ): "people typed it for a label; they remove it on the label's page or with `labels describe`",
}


# Tables that hang without a foreign key, which would cost a look-up per row on the hot path.
_WITHOUT_KEY = {"embeddings", "predictions"}


def referring(table: str) -> set[str]:
    """Tables with a foreign key to this one."""
    return {
        other.name
        for other in Table.metadata.tables.values()
        for key in other.foreign_keys
        if key.column.table.name == table
    }


def test_what_hangs_on_documents_goes_with_them() -> None:
    assert referring("documents") | _WITHOUT_KEY == set(HANGING)


def test_nothing_hangs_on_what_goes() -> None:
    for table in (*HANGING, "dead_letters"):
        assert referring(table) <= set(HANGING), f"a table refers to {table}: it must go first"
        for other in referring(table) - {table}:
            assert HANGING.index(other) < HANGING.index(table)


def test_columns_that_name_a_document_without_a_foreign_key_are_known() -> None:
    found = {
        (table.name, column.name)
        for table in Table.metadata.tables.values()
        for column in table.columns
        if column.name in ("document_id", "review_id", "external_id", "text", "raw")
        and table.name not in ("documents", *HANGING)
    }
    assert found <= _KNOWN.keys() | {("dead_letters", "raw")}
