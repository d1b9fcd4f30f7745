"""Queries of form_draws: documents on which a form and its model differ, drawn for people to decide."""

from collections.abc import Sequence
from typing import NamedTuple

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.doubts import DOUBTS
from db.queries.standing import newest_prediction, standing_decision

_DRAW = text("""
INSERT INTO form_draws (model_version_id, name, document_id, label_id, form_label_id)
SELECT :version_id, :name, row.document_id, row.label_id, row.form_label_id
FROM json_to_recordset(CAST(:rows AS json)) AS row (document_id bigint, label_id integer, form_label_id integer)
JOIN documents ON documents.id = row.document_id ORDER BY row.document_id FOR KEY SHARE OF documents
ON CONFLICT DO NOTHING
""")
# What waits because the model does not accept it waits for this instead, so that nobody sees an answer before deciding.
# Other reasons stay, and so does what a person has open.
_ASK = text(f"""
INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id)
SELECT drawn.document_id, 'shadow', 0, said.model_version_id, said.label_id
FROM form_draws drawn JOIN documents ON documents.id = drawn.document_id
LEFT JOIN LATERAL {newest_prediction("drawn.document_id")} said ON true
WHERE drawn.model_version_id = :version_id AND drawn.name = :name
AND NOT EXISTS (SELECT FROM {standing_decision("drawn.document_id")} decided)
ORDER BY drawn.document_id FOR KEY SHARE OF documents
ON CONFLICT (document_id) DO UPDATE SET reason = 'shadow', score = 0, turn = 0
WHERE queue_items.reason IN {DOUBTS} AND coalesce(queue_items.lease_until <= now(), true)
""")  # noqa: S608 - of constants alone
_COUNT = text(f"""
SELECT count(*) AS drawn,
  count(*) FILTER (WHERE decided AND truth = said AND said <> form_said) AS lost,
  count(*) FILTER (WHERE decided AND truth = form_said AND said <> form_said) AS gained,
  count(*) FILTER (WHERE decided AND (truth IS NULL OR truth NOT IN (said, form_said) OR said = form_said)) AS neither
FROM (
  SELECT standing.id IS NOT NULL AS decided, coalesce(given.merged_into_id, given.id) AS truth,
    coalesce(said.merged_into_id, said.id) AS said, coalesce(other.merged_into_id, other.id) AS form_said
  FROM form_draws drawn
  JOIN labels said ON said.id = drawn.label_id JOIN labels other ON other.id = drawn.form_label_id
  LEFT JOIN LATERAL {standing_decision("drawn.document_id")} standing ON true
  LEFT JOIN labels given ON given.id = standing.label_id
  WHERE drawn.model_version_id = :version_id AND drawn.name = :name
) drawn
""")  # noqa: S608 - of constants alone


class Disagreement(NamedTuple):
    """A document on which a form and its model differ, and the label that each gives it."""

    document_id: int
    label_id: int
    form_label_id: int


class Drawn(NamedTuple):
    """Drawn documents, and of the decided ones those for which the model, the form or none of both is right alone."""

    drawn: int
    lost: int
    gained: int
    neither: int


def draw(session: Session, version_id: int, name: str, found: Sequence[Disagreement]) -> None:
    """Note drawn disagreements of a form and ask people to decide them; those that are decided already stay so."""
    rows = orjson.dumps([each._asdict() for each in found]).decode()
    session.execute(_DRAW, {"version_id": version_id, "name": name, "rows": rows})
    session.execute(_ASK, {"version_id": version_id, "name": name})


def count(session: Session, version_id: int, name: str) -> Drawn:
    """Numbers of a form's drawn disagreements. Labels that were merged since count as the one that they became.

    Where both answers have become one label, neither was right alone.
    """
    return Drawn(*session.execute(_COUNT, {"version_id": version_id, "name": name}).one())
