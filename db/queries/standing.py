"""The SQL definitions of a document's standing decision, newest prediction and newest text, for all queries.

- A review **decides** if it is a confirm, a correct or a none_fits; a skip decides nothing.
- A review **stands** while no later one supersedes it, as an undo does.
- The **standing decision** of a document is the newest review that decides and stands. If several people decided, it is
  the last one's, whatever the majority decided; trainings use the majority (`labelled`).
- An **audit** that waits is a queue item with that reason; flags, imports and upstream decisions leave it as it is.
- The **newest prediction** of a document is the last one that is not a shadow's: live or rescore.
- A document (source and external id) that was sent with several texts has a row for each. The **newest text** is the
  one that was sent last, with the greatest entry_id.

Two rows can have the same time. Then the row with the greater id is the newer one; of two predictions, that of the
later version. Without such an order, two readers could take different rows.

The functions take names of tables, columns and parameters, never values.
"""

NEWEST_REVIEW_FIRST = "reviews.created_at DESC, reviews.id DESC"
NEWEST_PREDICTION_FIRST = "predictions.created_at DESC, predictions.model_version_id DESC"
NEWEST_TEXT_FIRST = "entry_order(documents.entry_id) DESC NULLS LAST, documents.id DESC"


def decides(review: str = "reviews") -> str:
    """SQL condition: a review decides."""
    return f"{review}.action IN ('confirm', 'correct', 'none_fits')"


def stands(review: str = "reviews") -> str:
    """SQL condition: a review stands: nothing supersedes it, but for decisions that were undone."""
    return f"""NOT EXISTS (
  SELECT FROM reviews later WHERE later.supersedes_id = {review}.id AND NOT EXISTS (
    SELECT FROM reviews undone WHERE undone.supersedes_id = later.id AND undone.action = 'undo'))"""  # noqa: S608 - of constants alone


def standing_decision(document: str, columns: str = "reviews.*", only: str = "true") -> str:
    """SQL subquery: the standing decision of a document, one row or none.

    Args:
        document: the document's id.
        columns: the columns of the review to select.
        only: a condition on the reviews that count.
    """
    return f"""(
  SELECT {columns} FROM reviews
  WHERE reviews.document_id = {document} AND {decides()} AND {stands()} AND {only}
  ORDER BY {NEWEST_REVIEW_FIRST} LIMIT 1)"""  # noqa: S608 - of constants alone


def newest_prediction(document: str, columns: str = "predictions.*", only: str = "true") -> str:
    """SQL subquery: the newest prediction of a document, one row or none; arguments as in `standing_decision`."""
    return f"""(
  SELECT {columns} FROM predictions
  WHERE predictions.document_id = {document} AND predictions.kind <> 'shadow' AND {only}
  ORDER BY {NEWEST_PREDICTION_FIRST} LIMIT 1)"""  # noqa: S608 - of constants alone


def awaits_audit(document: str) -> str:
    """SQL condition: a document was drawn for an audit, and the audit is not decided.

    Whoever chooses documents to be decided otherwise (many at once, by topic or by likeness) leaves these out: only
    people who decide them one by one, without seeing an answer, tell how good a model is.

    Args:
        document: the document's id.
    """
    return f"EXISTS (SELECT FROM queue_items drawn WHERE drawn.document_id = {document} AND drawn.reason = 'audit')"


# The same as conditions on a row, so that a search for documents can start from rows, by an index on labels.
def is_standing_decision(review: str) -> str:
    """SQL condition: a review is its document's standing decision."""
    return f"""{decides(review)} AND {stands(review)} AND NOT EXISTS (
  SELECT FROM reviews newer WHERE newer.document_id = {review}.document_id
  AND (newer.created_at, newer.id) > ({review}.created_at, {review}.id)
  AND {decides("newer")} AND {stands("newer")})"""


def is_newest_prediction(prediction: str) -> str:
    """SQL condition: a prediction is its document's newest one."""
    return f"""{prediction}.kind <> 'shadow' AND NOT EXISTS (
  SELECT FROM predictions newer WHERE newer.document_id = {prediction}.document_id AND newer.kind <> 'shadow'
  AND (newer.created_at, newer.model_version_id) > ({prediction}.created_at, {prediction}.model_version_id))"""


def is_newest_text(document: str) -> str:
    """SQL condition: a row has its document's newest text."""
    return f"""NOT EXISTS (
  SELECT FROM documents later WHERE later.source = {document}.source AND later.external_id = {document}.external_id
  AND later.id <> {document}.id AND (coalesce(entry_order(later.entry_id), '{{}}'), later.id)
    > (coalesce(entry_order({document}.entry_id), '{{}}'), {document}.id))"""
