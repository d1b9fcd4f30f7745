"""`python -m benchmarks [NAME ...]`: run the named measurements, or all of them."""

import os
import sys
from collections.abc import Callable

from benchmarks.calibration import calibration
from benchmarks.day_one import day_one
from benchmarks.desk import desk
from benchmarks.drift import drift_line
from benchmarks.drift_methods import drift_methods
from benchmarks.embedding_cost import embedding_cost
from benchmarks.explain import explain
from benchmarks.files import files
from benchmarks.form_power import form_power
from benchmarks.form_rounding import form_rounding
from benchmarks.growth import growth
from benchmarks.int8_variants import int8_variants
from benchmarks.intake_long import intake_long
from benchmarks.label_efficiency import label_efficiency
from benchmarks.latency import latency
from benchmarks.likeness import likeness_line
from benchmarks.live_accuracy import live_accuracy
from benchmarks.new_label_loop import new_label_loop
from benchmarks.open_world import open_world
from benchmarks.quantise import quantise
from benchmarks.refit import refit
from benchmarks.retrain import retrain
from benchmarks.rollback import rollback
from benchmarks.scale import scale
from benchmarks.search import search
from benchmarks.start_order import start_order
from benchmarks.student_power import student_power
from benchmarks.throughput import intake, throughput
from benchmarks.topics import topics
from benchmarks.train import train
from benchmarks.wait import wait
from benchmarks.webhooks import webhooks
from benchmarks.whole_run import whole_run
from benchmarks.workers import workers
from sortline.logs import set_up_logging, silence_telemetry

LINES: dict[str, Callable[..., None]] = {
    "throughput": throughput, "intake": intake, "intake_long": intake_long, "latency": latency,
    "calibration": calibration, "open_world": open_world, "quantise": quantise, "form_power": form_power,
    "form_rounding": form_rounding, "int8_variants": int8_variants,
    "student_power": student_power, "day_one": day_one, "refit": refit, "embedding_cost": embedding_cost,
    "train": train, "whole_run": whole_run, "retrain": retrain, "rollback": rollback, "desk": desk, "explain": explain,
    "label_efficiency": label_efficiency, "wait": wait, "webhooks": webhooks, "search": search,
    "drift": drift_line, "drift_methods": drift_methods, "live_accuracy": live_accuracy,
    "workers": workers, "scale": scale, "growth": growth, "files": files,
    "likeness": likeness_line, "topics": topics, "start_order": start_order,
    "new_label_loop": new_label_loop,
}  # fmt: skip
_OF_ONE_SIZE = {
    "latency", "calibration", "open_world", "quantise", "form_power", "form_rounding", "student_power", "train",
    "retrain", "rollback", "explain", "label_efficiency", "wait", "drift", "drift_methods", "live_accuracy",
    "start_order", "whole_run", "int8_variants",
}  # fmt: skip


def main(names: list[str]) -> None:
    """Run and print a JSON line each; the variable DOCUMENTS makes a run smaller or larger."""
    silence_telemetry()
    set_up_logging("WARNING")
    unknown = set(names) - set(LINES)
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(LINES)}")
    count = os.environ.get("DOCUMENTS")
    for name in names or LINES:
        if count and name not in _OF_ONE_SIZE:
            LINES[name](int(count))
        else:
            LINES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
