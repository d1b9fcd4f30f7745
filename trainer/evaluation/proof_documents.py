"""Whose traffic a promise is about: which of the calibration documents prove it.

Audits are random draws from all traffic, so what they prove is about this installation's traffic. Imports are as they
are mixed. Where audits are enough for a target, they alone prove it; else all calibration documents do, and the promise
says so. Only the number of audits decides, never their labels.

Audits are drawn with known probabilities, which change with the setting. A document that was drawn with a larger one
stands for fewer, so it is left out by chance until all are as likely as the least likely: then they are one simple
random sample, for which the exact binomial test is true.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from db.queries.labelled import Labelled
from trainer.data.split import share
from trainer.evaluation.threshold_plan import smallest_sample

AUDITS, MIXED = "audits", "mixed"
# Times as many as could prove the target if all were accepted without an error: with fewer, a promise that imports
# prove would be lost for want of audits.
_ENOUGH = 2


class ProofDocuments(NamedTuple):
    """The places (n,) of those calibration documents that prove a target.

    ``traffic``: "audits" or "mixed"; ``audits``: how many there are, thinned; ``needed``: how many would be enough.
    """

    places: NDArray[np.int64]
    traffic: str
    audits: int
    needed: int

    def sentence(self, documents: Sequence[Labelled]) -> str:
        """What the promise is about, in words, given the calibration documents."""
        if self.traffic == AUDITS:
            return f"It is about this installation's traffic: the documents are {self.audits:,} audits."
        imports = sum(document.origin == "import" for document in documents)
        return (
            f"It is about documents like these, {imports:,} imports as they are mixed and {len(documents) - imports:,} "
            f"audits; with {self.needed:,} audits for calibration it could be about this installation's traffic."
        )


def proof_documents(documents: Sequence[Labelled], risk: float, level: float) -> ProofDocuments:
    """Choose the documents that prove a target.

    Args:
        documents: all calibration documents.
        risk: the target.
        level: 1 minus the confidence of the promise.
    """
    drawn = [(i, each, each.drawn_with) for i, each in enumerate(documents) if each.origin == "audit"]
    known = [(i, each, probability) for i, each, probability in drawn if probability]
    least = min((probability for _, _, probability in known), default=1.0)
    kept = [i for i, each, probability in known if share(each.content_hash, "thinned") < least / probability]
    needed = _ENOUGH * int(smallest_sample(0, risk, level))
    if len(kept) >= needed:
        return ProofDocuments(np.array(kept, np.int64), AUDITS, len(kept), needed)
    return ProofDocuments(np.arange(len(documents)), MIXED, len(kept), needed)
