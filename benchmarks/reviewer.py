"""A simulated reviewer, who knows the true labels and decides what the desk gives them."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from db.queries import decisions, queue_items
from db.queries.decisions import Decision, Shares
from web.desk.queue_policy import next_documents

_LEASE_S = 300.0
_HIDDEN_SHARE = 0.05


def decide(session: Session, user_id: int, truth: Mapping[str, int | None], count: int) -> tuple[list[str], int]:
    """Decide documents one after the other, in the desk's order; commits each decision.

    Args:
        truth: label id by text, None: none fits; an imported document that is thought to be labelled wrong comes too.
        count: how many, at most.

    Returns:
        External ids in the order of the decisions, and how many of these corrected the prediction.
    """
    decided: list[str] = []
    corrected = 0
    while len(decided) < count:
        ids = next_documents(session, user_id, (), 1, lease_s=_LEASE_S, hidden_share=_HIDDEN_SHARE)
        given = queue_items.leased(session, user_id, ids)
        if not given:
            break
        item = given[0]
        label_id = truth[item.text]
        decision = Decision(item.document_id, item.lease_token, "none_fits" if label_id is None else "label", label_id)
        corrected += decisions.decide(session, decision, user_id, Shares()).action == "correct"
        session.commit()
        decided.append(item.external_id)
    return decided, corrected
