"""The desk with a million documents waiting, and twenty reviewers who decide at once."""

import csv
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from sqlalchemy import text

from benchmarks.stack import ROOT, Stack, free_port, result, say, stack
from db.models import Label, ModelVersion
from db.queries import people
from db.session import get_engine, session
from web.sessions import COOKIE, _csrf

_LABELS = 77
_REVIEWERS = 20
_RATE = 20.0  # decisions a second, of all reviewers together
_WARM_S, _TIMED_S = 10.0, 60.0
_DOCUMENT, _TOKEN = 'data-id="', 'data-token="'

_DOCUMENTS = text("""
INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id)
SELECT 'bench', i::text, sha256(i::text::bytea), said[1 + floor(random() * :n)::int] || ' '
  || said[1 + floor(random() * :n)::int] || ' ' || i, 'bulk', i || '-0'
FROM generate_series(1, :count) i, (SELECT CAST(:texts AS text[]) AS said) texts
""")
_PREDICTIONS = text("""
INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities, decision)
SELECT id, 1, 'live', 1 + id % :labels, 0.5, CAST(:probabilities AS real[]), 'review' FROM documents
""")
_ITEMS = text("""
INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id, sampling_probability)
SELECT id, CASE WHEN audit THEN 'audit' ELSE 'doubtful' END, random(), 1, 1 + id % :labels,
       CASE WHEN audit THEN 0.01 END
FROM (SELECT id, random() < 0.05 AS audit FROM documents) drawn
""")
_TWICE = text("""
SELECT count(*) FROM (
  SELECT document_id FROM reviews WHERE action <> 'undo' AND reason NOT IN ('overlap', 'repeat')
  GROUP BY document_id HAVING count(*) > 1) twice
""")


@dataclass
class Times:
    """Milliseconds that each request took, and what was said of those that failed."""

    next_ms: list[float] = field(default_factory=list)
    submit_ms: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def desk(count: int = 1_000_000) -> None:
    """`desk`: milliseconds that a reviewer's page waits for the next document and for a decision to be written.

    Over HTTP, each reviewer with a session of their own, one decision a second each, as pages do it: a decision, then
    what comes next while two documents are left. ``given_twice``: documents that two people were given though no
    second opinion was wanted.
    """
    with stack("desk", web_port=free_port()) as made:
        began = time.monotonic()
        fill(made, count)
        say(f"{count:,} documents wait ({time.monotonic() - began:.0f} s to fill)")
        with made.web() as base:
            times = decide(base, reviewers(made))
        decided = len(times.submit_ms) / _TIMED_S
        if times.wrong:
            say(f"{len(times.wrong)} requests failed: {times.wrong[0]}")
        with session(made.settings.postgres_url) as opened:
            twice, written = opened.scalar(_TWICE), opened.scalar(text("SELECT count(*) FROM reviews"))
    result(
        "desk", waiting=count, reviewers=_REVIEWERS, decisions=len(times.submit_ms), written=written,
        next_p50_ms=_share(times.next_ms, 50), next_p99_ms=_share(times.next_ms, 99),
        submit_p50_ms=_share(times.submit_ms, 50), submit_p99_ms=_share(times.submit_ms, 99), given_twice=twice,
        decisions_per_s=round(decided, 1), failed=len(times.wrong),
    )  # fmt: skip


def _share(values: list[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 1)


def fill(made: Stack, count: int) -> None:
    """Let ``count`` documents with texts of the sample be classified and wait for a person."""
    with (ROOT / "examples" / "incoming.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    probabilities = [0.5, 0.3, *[0.2 / (_LABELS - 2)] * (_LABELS - 2)]
    with session(made.settings.postgres_url) as opened:
        opened.add_all([Label(name=f"label {i}") for i in range(_LABELS)])
        opened.flush()
        ids = list(range(1, _LABELS + 1))
        opened.add(ModelVersion(status="active", checkpoint_uri="-", sha256="-", base_model="-", label_ids=ids))
        opened.flush()
        opened.execute(_DOCUMENTS, {"count": count, "texts": texts, "n": len(texts)})
        opened.execute(_PREDICTIONS, {"labels": _LABELS, "probabilities": probabilities})
        opened.execute(_ITEMS, {"labels": _LABELS})
        opened.commit()
    with get_engine(made.settings.postgres_url).connect() as connection:
        plain = connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in ("documents", "predictions", "queue_items"):
            plain.exec_driver_sql(f"VACUUM ANALYZE {table}")


def reviewers(made: Stack) -> list[str]:
    """Twenty people who are signed in; the value of the cookie of each."""
    with session(made.settings.postgres_url) as opened:
        users = [people.add(opened, f"reviewer {i}", "reviewer", "benchmark") for i in range(_REVIEWERS)]
        tokens = [people.sign_in(opened, user, "benchmark") for user in users]
        opened.commit()
    return tokens


def decide(base: str, tokens: list[str], timed_s: float = _TIMED_S) -> Times:
    """All reviewers at once, against the web at ``base``; the first seconds are not counted."""
    times, started = Times(), time.perf_counter()
    timed_from, end = started + _WARM_S, started + _WARM_S + timed_s
    threads = [
        threading.Thread(target=_review, args=(base, token, i, started, timed_from, end, times))
        for i, token in enumerate(tokens)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _review(base: str, token: str, number: int, started: float, timed_from: float, end: float, times: Times) -> None:
    each = _REVIEWERS / _RATE
    held: list[tuple[int, int]] = []
    draw = random.Random(number)
    headers = {"x-csrf-token": _csrf(token), "cookie": f"{COOKIE}={token}"}
    with httpx.Client(base_url=base, headers=headers, timeout=30) as client:
        due = started + each * number / _REVIEWERS
        while due < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            due += each
            timed = time.perf_counter() >= timed_from
            if held:
                document_id, lease = held.pop(0)
                body: dict[str, Any] = {
                    "document_id": document_id, "token": lease, "action": "label",
                    "label_id": draw.randint(1, _LABELS), "seconds": 1.0,
                }  # fmt: skip
                _send(client, "decisions", body, times.submit_ms if timed else [], times)
            page = _send(client, "next", {"have": [id_ for id_, _ in held]}, times.next_ms if timed else [], times)
            held += [(int(_value(part, _DOCUMENT)), int(_value(part, _TOKEN))) for part in page.split("<article")[1:]]


def _send(client: httpx.Client, path: str, body: dict[str, Any], into: list[float], times: Times) -> str:
    began = time.perf_counter()
    answer = client.post(f"/desk/{path}", json=body)
    into.append(1000 * (time.perf_counter() - began))
    if answer.status_code != 200:
        times.wrong.append(f"{path}: {answer.status_code} {answer.text[:200]}")
        return ""
    return str(answer.json().get("html", ""))


def _value(page: str, name: str) -> str:
    return page.partition(name)[2].partition('"')[0]
