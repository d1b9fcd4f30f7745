"""Whose traffic a promise is about: audits where they are enough, thinned to one probability, else all documents."""

from collections.abc import Callable
from hashlib import sha256

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.labelled import Labelled, labelled_documents
from sortline.settings import Settings
from trainer.data.import_file import ImportReport
from trainer.data.snapshot import read_snapshot, store_snapshot
from trainer.data.training_data import select
from trainer.evaluation.proof_documents import AUDITS, MIXED, proof_documents
from trainer.evaluation.threshold_plan import smallest_sample

RISK, LEVEL = 0.05, 0.05  # 59 documents without an error
Import = Callable[..., ImportReport]


def documents(count: int, origin: str, drawn_with: float | None = None, first: int = 0) -> list[Labelled]:
    return [
        Labelled(i, f"text {i}", sha256(str(i).encode()).digest(), 1, "a", True, i, "calibration", origin,
                 drawn_with=drawn_with)
        for i in range(first, first + count)
    ]  # fmt: skip


def test_enough_audits_prove_alone() -> None:
    audits, imports = documents(120, "audit", 0.01), documents(300, "import", first=1_000)

    found = proof_documents([*imports, *audits], RISK, LEVEL)

    assert (found.traffic, found.audits, found.needed) == (AUDITS, 120, 2 * int(smallest_sample(0, RISK, LEVEL)))
    assert found.places.tolist() == list(range(300, 420))
    assert found.sentence([]) == "It is about this installation's traffic: the documents are 120 audits."


def test_too_few_audits_leave_the_mixture_and_say_so() -> None:
    held_out = [*documents(100, "import"), *documents(117, "audit", 0.01, first=1_000)]

    found = proof_documents(held_out, RISK, LEVEL)

    assert (found.traffic, len(found.places)) == (MIXED, 217)
    assert "100 imports as they are mixed and 117 audits; with 118 audits" in found.sentence(held_out)
    assert proof_documents([], RISK, LEVEL).places.tolist() == []


def test_a_stricter_target_needs_more_of_them() -> None:
    held_out = documents(400, "audit", 0.01)
    traffic = [proof_documents(held_out, risk, LEVEL).traffic for risk in (0.005, 0.01, 0.02, 0.05)]
    assert traffic == [MIXED, MIXED, AUDITS, AUDITS]


def test_unequal_draws_become_one_simple_sample() -> None:
    """Half the traffic was audited ten times as often: thinned, both halves count by what they are of the traffic."""
    often, rarely = documents(4_000, "audit", 0.1), documents(400, "audit", 0.01, first=10_000)

    found = proof_documents([*often, *rarely], RISK, LEVEL)

    of_often = int((found.places < 4_000).sum())
    assert (found.traffic, found.audits - of_often) == (AUDITS, 400)
    assert abs(of_often - 400) < 4 * np.sqrt(4_000 * 0.1 * 0.9)
    assert found.places.tolist() == proof_documents([*often, *rarely], RISK, LEVEL).places.tolist()


def test_audits_without_a_known_probability_prove_nothing_alone() -> None:
    assert proof_documents(documents(500, "audit"), RISK, LEVEL).traffic == MIXED


def test_the_probability_of_a_draw_reaches_the_snapshot(
    session: Session, settings: Settings, import_lines: Import
) -> None:
    import_lines(["text,label", "where is my card,card", "the machine ate it,cash", "gone is it,cash"])
    session.execute(text("UPDATE reviews SET reason = 'audit', sampling_probability = 0.25 WHERE document_id = 1"))
    session.execute(text("UPDATE document_splits SET split = 'test' WHERE document_id = 1"))
    session.execute(text("UPDATE document_splits SET split = 'train' WHERE document_id > 1"))
    session.execute(text("UPDATE reviews SET label_id = 1 WHERE document_id = 2"))
    found = {each.id: each for each in labelled_documents(session)}
    assert [found[i].drawn_with for i in (1, 2)] == [0.25, None]

    row = store_snapshot(session, select(labelled_documents(session), known_labels={1, 2}), settings.models, "drawn")

    assert [each.drawn_with for each in read_snapshot(session, row).test] == [0.25]
