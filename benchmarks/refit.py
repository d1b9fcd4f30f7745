"""How soon a starter has learnt from another decision, and what waits is ordered by it."""

import os
import subprocess
import sys
import time

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.stack import Stack, processor, result, say, stack
from db.models import Document, Label, User
from db.queries import embeddings, heads, model_versions
from db.session import session
from db.vector_array import Matrix

_LABELS, _WIDTH, _DECISIONS, _AT_ONCE = 150, 384, 10_000, 5_000
_NOUNS = ("card", "parcel", "account", "loan", "fee", "transfer", "refund", "ticket", "password", "invoice")
_VERBS = ("lost", "late", "wrong", "blocked", "missing", "double", "refused", "expired", "changed", "new", "old",
          "stolen", "broken", "foreign", "unknown")  # fmt: skip

_FILL = text("""
INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id)
SELECT 'bench', CAST(n AS text), decode(lpad(to_hex(n), 64, '0'), 'hex'), 'text number ' || n, 'bulk', n || '-0'
FROM generate_series(:first + 1, :first + :count) AS n RETURNING id
""")
_DECIDE = text("""
INSERT INTO reviews (document_id, reviewer_id, action, label_id, reason)
SELECT given.document_id, :user_id, 'correct', given.label_id, 'doubtful'
FROM unnest(CAST(:ids AS bigint[]), CAST(:labels AS integer[])) AS given (document_id, label_id)
""")
_WAIT = text("""
INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id)
SELECT id, 'doubtful', 0.5, :version_id, :label_id FROM unnest(CAST(:ids AS bigint[])) AS given (id)
""")


def refit(count: int = 100_000) -> None:
    """`refit`: a starter of 150 labels learns from 10,000 decisions, while ``count`` documents wait.

    ``refit_s``: from the start of the process's work to the stored head; ``rescored_s``: until all that waits is
    ordered by it; ``process_s``: of the whole process. Vectors are drawn around a centre for each label. It is measured
    with a tenth more decisions than the revision before had, as they come.
    """
    with stack("refit", engine="auto", threads=1) as made:
        label_ids = _start(made)
        centres = np.random.default_rng(1).standard_normal((_LABELS, _WIDTH)).astype(np.float32)
        with session(made.settings.postgres_url) as opened:
            version = model_versions.active(opened)
            encoder = embeddings.encoder_of_active(opened)
            assert version is not None and encoder is not None
            user = User(name="simulated", role="reviewer")
            opened.add(user)
            opened.flush()
            _decided(opened, user.id, label_ids, centres, encoder[0], 1, _DECISIONS * 9 // 10)
            for start in range(0, count, _AT_ONCE):
                ids = _filled(opened, 1_000_000 + start, min(_AT_ONCE, count - start))
                opened.execute(_WAIT, {"ids": ids, "version_id": version.id, "label_id": label_ids[0]})
                drawn = np.random.default_rng(start).integers(0, _LABELS, len(ids))
                embeddings.store(opened, encoder[0], ids, _around(centres, drawn, start), 0)
            opened.commit()
            _learn(made)
            _decided(opened, user.id, label_ids, centres, encoder[0], 2, _DECISIONS // 10)
            opened.commit()
        process_s = _learn(made)
        with session(made.settings.postgres_url) as opened:
            newest = heads.newest(opened, version.id)
        assert newest is not None
        assert newest.figures["learnt"] == _DECISIONS, newest.figures
        result(
            "refit", decisions=_DECISIONS, labels=_LABELS, waiting=count, refit_s_max=newest.figures["seconds"],
            rescored_100k_s=newest.figures["ordered_s"], process_s=round(process_s, 2), cpu=processor(),
        )  # fmt: skip


def _start(made: Stack) -> list[int]:
    """A starter of 150 labels, made of their names alone."""
    with session(made.settings.postgres_url) as opened:
        opened.add_all(Label(name=f"{noun} {verb}") for noun in _NOUNS for verb in _VERBS)
        document = Document(source="bench", external_id="0", content_hash=b"0", text="x", lane="bulk", entry_id="0-1")
        opened.add(document)
        opened.flush()
        opened.execute(text("INSERT INTO unpredicted (document_id) VALUES (:id)"), {"id": document.id})
        opened.commit()
    _learn(made)
    with session(made.settings.postgres_url) as opened:
        version = model_versions.active(opened)
        assert version is not None, "no starter was made"
        return version.label_ids


def _learn(made: Stack) -> float:
    """Make what is due, as housekeeping has it made; returns the seconds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "trainer.starter"]
    subprocess.run(command, check=True, env={**os.environ, **made.environment(), "OMP_NUM_THREADS": "1"})
    say(f"trainer.starter took {time.monotonic() - began:.1f} s")
    return time.monotonic() - began


def _decided(
    opened: Session, user_id: int, label_ids: list[int], centres: Matrix, encoder_id: int, seed: int, count: int
) -> None:
    ids = _filled(opened, seed * 100_000, count)
    drawn = np.random.default_rng(seed).integers(0, _LABELS, count)
    labels = [label_ids[int(each)] for each in drawn]
    opened.execute(_DECIDE, {"user_id": user_id, "ids": ids, "labels": labels})
    embeddings.store(opened, encoder_id, ids, _around(centres, drawn, seed), 0)


def _filled(opened: Session, first: int, count: int) -> list[int]:
    return list(opened.scalars(_FILL, {"first": first, "count": count}))


def _around(centres: Matrix, drawn: np.ndarray, seed: int) -> Matrix:
    noise = np.random.default_rng(seed + 7).standard_normal((len(drawn), _WIDTH)).astype(np.float32)
    return np.asarray(0.1 * (centres[drawn] + 2.5 * noise), np.float32)
