"""How much each label is used, as pages show it: counted up to a limit, which they show."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.queries import labels

LATELY = 10_000  # newest documents whose predictions are counted


@dataclass(frozen=True, slots=True)
class Figures:
    """A label's figures; ``share``: of the newest documents, those predicted as this label (0 to 1)."""

    decided: str
    waiting: str
    share: float


def figures(session: Session) -> dict[int, Figures]:
    """Figures by label id; a label into which others were merged includes theirs."""
    use, into = labels.use(session, LATELY), labels.merged(session)
    total = sum(each.predicted for each in use.values())
    found = {}
    for id_, own in use.items():
        parts = [own, *(use[other] for other, target in into.items() if target == id_)]
        decided, waiting, predicted = (sum(each) for each in zip(*parts, strict=True))
        found[id_] = Figures(_bounded(decided), _bounded(waiting), predicted / total if total else 0.0)
    return found


def _bounded(count: int) -> str:
    return f"{labels.COUNTED:,}+" if count >= labels.COUNTED else f"{count:,}"
