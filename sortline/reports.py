"""What running workers say of themselves: one report for each intake (worker/presence.py), put together by worker."""

from collections.abc import Iterable
from typing import Any

from sortline.counted import counted

_SUMS = ("documents", "documents_per_s", "held")
_TROUBLES = ("refused", "redis_refuses")


def by_worker(reports: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each worker says: as the report of its first intake, but with the sums and troubles of all.

    ``intakes`` has the report of each, the first one's first. Their model versions may differ for seconds.
    """
    workers: dict[Any, list[dict[str, Any]]] = {}
    for report in reports:
        # An earlier version's report names no worker, and that worker has one intake.
        workers.setdefault(report.get("worker") or len(workers), []).append(report)
    return [_together(sorted(intakes, key=lambda each: each.get("intake", 1))) for intakes in workers.values()]


def model_versions(worker: dict[str, Any]) -> list[int]:
    """The model versions that a worker's intakes have loaded, each once."""
    return sorted({each["model_version"] for each in worker["intakes"] if each["model_version"]})


def intakes_said(worker: dict[str, Any]) -> str:
    """`3 intakes`; empty: the worker has one."""
    count = len(worker["intakes"])
    return counted(count, "intake") if count > 1 else ""


def _together(intakes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        **intakes[0],
        **{name: round(sum(each.get(name, 0) for each in intakes), 1) for name in _SUMS},
        **{name: next((each[name] for each in intakes if each.get(name)), None) for name in _TROUBLES},
        "intakes": intakes,
    }
