"""What a training run takes beside its fine-tuning, stage by stage."""

import os
import time
from typing import Any

from benchmarks.stack import processor, result, say, stack
from benchmarks.texts import training_files
from classifier.figures import VersionFigures
from db.queries import model_versions, training_runs
from db.session import session
from trainer.data.import_file import import_file
from trainer.run import train


def whole_run() -> None:
    """`whole_run`: `sortline train` on the benchmarks' texts, as a first training and as a second one.

    ``run_s``: seconds of the whole run; ``steps_s``: of its fine-tuning, with validations and checkpoints;
    ``run_to_steps``: one over the other. ``stages``: seconds of each, as a person sees them named. ``again``: the same
    of the second run, which the gate compares with the first one, and which makes an int8 form before it ends.
    """
    with stack("whole_run") as made:
        postgres = made.settings.postgres_url
        with session(postgres) as opened:
            for path, split in training_files():
                import_file(opened, path, split=split)
            opened.commit()
        figures = []
        for name in ("the first training", "the second training"):
            say(name)
            with session(postgres) as opened:
                run_id = training_runs.create(opened, "benchmark", {}).id
                opened.commit()
            stages: dict[str, float] = {}
            last = [time.monotonic(), "starting"]

            def note(said: dict[str, Any], stages: dict[str, float] = stages, last: list[Any] = last) -> None:
                now = time.monotonic()
                stages[last[1]] = stages.get(last[1], 0.0) + now - last[0]
                last[:] = [now, said["stage"]]

            began = time.monotonic()
            version_id = train(made.settings, run_id, note)
            seconds = time.monotonic() - began
            note({"stage": ""})
            assert version_id is not None
            with session(postgres) as opened:
                learned = VersionFigures.model_validate(model_versions.get(opened, version_id).metrics).learning
            steps = learned.seconds or 1.0
            figures.append({
                "run_s": round(seconds, 1), "steps_s": steps, "run_to_steps": round(seconds / steps, 2),
                "stages": {stage: round(took, 1) for stage, took in stages.items() if took >= 0.05},
            })  # fmt: skip
    result("whole_run", **figures[0], again=figures[1], load=round(os.getloadavg()[0], 1), cpu=processor())
