"""A simulated reviewer, who knows the true labels and decides what the desk gives them."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from db.queries import decisions, queue_items
from db.queries.decisions import Decision, Shares
from sortline.settings import Settings
from web.desk.queue_policy import next_documents


def decide(
    session: Session, settings: Settings, user_id: int, truth: Mapping[str, int], count: int
) -> tuple[list[str], int]:
    """Decide documents one after the other, in the desk's order; commits each decision.

    Args:
        truth: label id by text; an imported document that is thought to be labelled wrong comes too.
        count: how many, at most.

    Returns:
        External ids in the order of the decisions, and how many of these corrected the prediction.
    """
    decided: list[str] = []
    corrected = 0
    while len(decided) < count:
        given = queue_items.leased(session, user_id, next_documents(session, settings, user_id, (), 1))
        if not given:
            break
        item = given[0]
        decision = Decision(item.document_id, item.lease_token, "label", truth[item.text])
        corrected += decisions.decide(session, decision, user_id, Shares()).action == "correct"
        session.commit()
        decided.append(item.external_id)
    return decided, corrected
