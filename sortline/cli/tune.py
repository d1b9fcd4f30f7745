"""sortline tune: search for the training parameters that work best."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sortline.counted import counted
from sortline.settings import get_settings

if TYPE_CHECKING:
    from trainer.report.tuning import Outcome
    from trainer.tune import TuningProgress


@click.command()
@click.option("--trials", type=click.IntRange(1), required=True, help="Total trials of the study, over all processes.")
@click.option("--study", default="", help="Name of the study; a known name continues it.  [default: one per day]")
@click.option("--base-model", "base_models", multiple=True, help="Also choose between these encoders. Repeatable.")
@click.option("--timeout", type=float, help="Start no further trial after this many minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(trials: int, study: str, base_models: tuple[str, ...], timeout: float | None, as_json: bool) -> None:
    """Search for better parameters, judged on validation documents; later trainings use them if they are better.

    An interrupted study continues where it stopped; several processes can work on one study by giving the same name.
    """
    from sortline.cli.interrupt import interruptible
    from sortline.cli.progress import bar
    from trainer.tune import default_name, tune

    name = study or default_name()
    with bar(f"tuning {name}") as update, interruptible() as check:

        def show(now: "TuningProgress") -> None:
            check()
            best = "" if now.best is None else f", best macro-F1 {now.best:.4f}"
            update(now.trial, now.trials, now.stage + best)

        outcome = tune(get_settings(), trials, name, base_models, timeout and timeout * 60, show)
    if outcome is None:
        click.echo(
            json.dumps({"study": name, "used": None}) if as_json else f"time is up; continue with --study {name}"
        )
    else:
        click.echo(json.dumps(asdict(outcome)) if as_json else _summary(outcome))


def _summary(outcome: "Outcome") -> str:
    low, high = outcome.gain_interval
    used = "later trainings use them" if outcome.used else "later trainings keep the parameters used before"
    best = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in outcome.best.items()
    )
    return "\n".join(
        [
            f"study {outcome.study}: {counted(outcome.trials, 'trial')}, "
            f"{outcome.pruned} pruned, {outcome.failed} failed",
            f"best: {best}",
            f"trained again: macro-F1 {outcome.macro_f1:.2%} on validation documents, {outcome.untuned_macro_f1:.2%} "
            f"with the parameters used before: {outcome.gain * 100:+.2f} points "
            f"({low * 100:+.2f} to {high * 100:+.2f}); {used}",
            f"report: {outcome.report}/report.html",
        ]
    )
