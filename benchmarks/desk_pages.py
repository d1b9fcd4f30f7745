"""Twenty reviewers who decide at once over HTTP, as their pages do, and how long each request takes."""

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.stack import Stack
from benchmarks.texts import LABELS
from db.queries import people
from db.session import session
from web.sessions import COOKIE, _csrf

REVIEWERS = 20
TIMED_S = 60.0
_RATE = 20.0  # decisions a second, of all reviewers together
_WARM_S = 10.0
_DOCUMENT, _TOKEN = 'data-id="', 'data-token="'


@dataclass
class Times:
    """Milliseconds that each request took, and what was said of those that failed."""

    next_ms: list[float] = field(default_factory=list)
    submit_ms: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def reviewers(made: Stack) -> list[str]:
    """Twenty people who are signed in; the value of the cookie of each."""
    with session(made.settings.postgres_url) as opened:
        users = [people.add(opened, f"reviewer {i}", "reviewer", "benchmark") for i in range(REVIEWERS)]
        tokens = [people.sign_in(opened, user, "benchmark") for user in users]
        opened.commit()
    return tokens


def decide(base: str, tokens: list[str], timed_s: float = TIMED_S) -> Times:
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
    each = REVIEWERS / _RATE
    held: list[tuple[int, int]] = []
    draw = random.Random(number)
    headers = {"x-csrf-token": _csrf(token), "cookie": f"{COOKIE}={token}"}
    with httpx.Client(base_url=base, headers=headers, timeout=30) as client:
        due = started + each * number / REVIEWERS
        while due < end:
            time.sleep(max(0.0, due - time.perf_counter()))
            due += each
            timed = time.perf_counter() >= timed_from
            if held:
                document_id, lease = held.pop(0)
                body: dict[str, Any] = {
                    "document_id": document_id, "token": lease, "action": "label",
                    "label_id": draw.randint(1, LABELS), "seconds": 1.0,
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
