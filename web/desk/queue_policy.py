"""Which document comes next at the desk.

The policy, in the order in which it decides:

1. Documents that a reviewer already holds come first, so that a reloaded page continues where it was.
2. Among the reasons with a free document, one is drawn by the weights below.
3. Doubtful documents, and those of low fit: two of the predicted labels are drawn, and the smallest margin, or fit,
   wins, so that one label does not fill the morning. Other reasons: the lowest score, then the oldest; the score of an
   audit, and of a document that no model has read yet, is random.
4. A document that nearly repeats one that the reviewer lately decided or holds is put off: it comes after all that
   were put off less often. So similar documents are spread over the day, for everybody.
"""

import random
from collections.abc import Sequence

from sqlalchemy.orm import Session

from classifier.shingles import NEAR, jaccard, shingles
from db.queries import queue_items
from db.queries.queue_items import BY_LABEL, Candidate
from web.desk.revised import predict_anew

# While both wait, three documents are doubtful for each one of low fit, however many of these there are: foreign
# documents, sent by the thousand, do not keep people from what the model can learn.
WEIGHTS = {
    "unpredicted": 6, "doubtful": 6, "low_fit": 2, "flag": 3, "audit": 2, "label_error": 1, "drift": 3, "overlap": 1,
    "repeat": 1, "shadow": 1,
}  # fmt: skip

_LABELS = 2  # how many labels' documents are compared
_OF_EACH = 8
_CANDIDATES = 16
_SPREAD = (
    "unpredicted",
    "doubtful",
    "low_fit",
    "label_error",
    "drift",
)  # the others were requested or drawn at random, so they keep their order
_RECENT = 64  # a reviewer's last documents, with which candidates are compared
_CHARS = 1000  # of a text, for the comparison
_ROUNDS = 4
_LIKELY = 2  # candidates, of which one is almost always leased


def next_documents(
    session: Session, user_id: int, have: Sequence[int], count: int, *, lease_s: float, hidden_share: float
) -> list[int]:
    """Lease documents to a reviewer; returns the ids of those that they hold but do not have on their page.

    Args:
        have: ids of the documents on the page, and of those that it must not get.
        count: how many to return at most.
        lease_s: seconds after which a document that a reviewer left goes to another one.
        hidden_share: share of documents whose prediction is hidden.
    """
    held = [id_ for id_ in queue_items.held(session, user_id) if id_ not in set(have)][:count]
    while len(held) < count:
        found = _next_document(session, user_id, [*have, *held], lease_s=lease_s, hidden_share=hidden_share)
        if found is None:
            break
        held.append(found)
    return held


def _next_document(
    session: Session, user_id: int, without: Sequence[int], *, lease_s: float, hidden_share: float
) -> int | None:
    recent = [shingles(text) for text in queue_items.recent_texts(session, user_id, _RECENT, _CHARS)]
    for reason in _drawn_order():
        for last_round in [False] * _ROUNDS + [True]:
            candidates = _candidates(session, reason, user_id, without)
            if not candidates:
                break
            alike = {each.document_id for each in candidates if _repeats(each, recent)}
            if alike and not last_round:
                queue_items.put_off(session, sorted(alike))
            ids = [each.document_id for each in candidates if last_round or each.document_id not in alike]
            if ids:
                predict_anew(session, ids[:_LIKELY])
                found = queue_items.lease(session, ids, user_id, lease_s, hidden_share, without)
                if found is not None:
                    return found
    return None


def _drawn_order() -> list[str]:
    """The reasons in a random order, in which each comes first with a probability given by its weight.

    Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006.
    """
    return sorted(WEIGHTS, key=lambda reason: random.random() ** (1 / WEIGHTS[reason]), reverse=True)  # noqa: S311 - no secret


def _candidates(session: Session, reason: str, user_id: int, without: Sequence[int]) -> list[Candidate]:
    if reason not in BY_LABEL:
        return queue_items.first(session, reason, user_id, without, _CANDIDATES, _CHARS)
    largest = queue_items.largest_label_id(session, reason)
    if largest is None:
        return []
    start = random.randint(1, max(1, largest))  # noqa: S311 - no secret
    found = queue_items.first_of_labels(session, reason, start, _LABELS, _OF_EACH, user_id, without, _CHARS)
    # Other reviewers may hold all documents of these labels.
    return found or queue_items.first(session, reason, user_id, without, _CANDIDATES, _CHARS)


def _repeats(candidate: Candidate, recent: Sequence[frozenset[str]]) -> bool:
    if not recent or candidate.reason not in _SPREAD:
        return False
    own = shingles(candidate.text)
    return any(jaccard(own, other) >= NEAR for other in recent)
