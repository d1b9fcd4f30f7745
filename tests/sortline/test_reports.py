"""The reports of intakes, put together by worker."""

from typing import Any

import pytest

from sortline.reports import by_worker, intakes_said, model_versions


def report(pid: int, worker: str = "", intake: int = 1, **more: Any) -> dict[str, Any]:
    """What worker/presence.py writes."""
    said = {
        "worker": worker or f"here-{pid}", "intake": intake, "pid": pid, "host": "here", "model_version": 3,
        "engine": "torch-bf16", "documents": 10, "documents_per_s": 1.1, "held": 2, "refused": None,
        "redis_refuses": None,
    }  # fmt: skip
    return said | more


def test_intakes_of_a_worker_are_one_worker_with_their_sums() -> None:
    reports = [report(13, "a", 3, documents=5), report(40), report(12, "a", 2, held=7), report(11, "a", 1)]

    first, other = by_worker(reports)

    assert (first["pid"], first["documents"], first["documents_per_s"], first["held"]) == (11, 25, 3.3, 11)
    assert [each["pid"] for each in first["intakes"]] == [11, 12, 13]
    assert (intakes_said(first), intakes_said(other)) == ("3 intakes", "")
    assert (other["pid"], other["documents"], len(other["intakes"])) == (40, 10, 1)


@pytest.mark.parametrize("what", ["refused", "redis_refuses"])
def test_what_one_intake_refuses_the_worker_refuses(what: str) -> None:
    (worker,) = by_worker([report(11, "a", 1), report(12, "a", 2, **{what: "no memory"})])
    assert worker[what] == "no memory"


def test_intakes_may_have_different_versions_for_a_moment() -> None:
    (worker,) = by_worker(
        [report(11, "a", 1, model_version=4), report(12, "a", 2), report(13, "a", 3, model_version=None)]
    )
    assert (worker["model_version"], model_versions(worker)) == (4, [3, 4])


def test_workers_of_a_version_before_are_one_each() -> None:
    old = [{"pid": pid, "documents_per_s": 1.0, "refused": None, "model_version": 3} for pid in (1, 2)]
    workers = by_worker([*old, report(3)])
    assert [(each["pid"], len(each["intakes"])) for each in workers] == [(1, 1), (2, 1), (3, 1)]
    assert by_worker([]) == []
