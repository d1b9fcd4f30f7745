"""sortline tune: which parameters train best."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sortline.settings import get_settings

if TYPE_CHECKING:
    from trainer.report.tuning import Outcome
    from trainer.tune import Told


@click.command()
@click.option("--trials", type=click.IntRange(1), required=True, help="Of the study in all, whoever runs them.")
@click.option("--study", default="", help="A name: the same one goes on, and is shared.  [default: one a day]")
@click.option("--base-model", "base_models", multiple=True, help="Choose between these encoders too.")
@click.option("--timeout", type=float, help="Minutes after which no further trial starts.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(trials: int, study: str, base_models: tuple[str, ...], timeout: float | None, as_json: bool) -> None:
    """Search for better parameters, judged on validation; later trainings use the best ones, if they are better.

    It can be interrupted and goes on where it was; several processes may share a study by its name.
    """
    from sortline.cli.progress import bar
    from trainer.tune import default_name, tune

    name = study or default_name()
    with bar(f"tuning {name}") as update:

        def show(told: "Told") -> None:
            best = "" if told.best is None else f", best macro-F1 {told.best:.4f}"
            update(told.trial, told.trials, told.stage + best)

        outcome = tune(get_settings(), trials, name, base_models, timeout and timeout * 60, show)
    if outcome is None:
        click.echo(json.dumps({"study": name, "used": None}) if as_json else f"time is up; --study {name} goes on")
    else:
        click.echo(json.dumps(asdict(outcome)) if as_json else _summary(outcome))


def _summary(outcome: "Outcome") -> str:
    low, high = outcome.gain_interval
    used = "later trainings use them" if outcome.used else "later trainings go on as before"
    best = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in outcome.best.items()
    )
    return "\n".join(
        [
            f"study {outcome.study}: {outcome.trials} trials, {outcome.pruned} pruned, {outcome.failed} failed",
            f"best: {best}",
            f"trained once more: macro-F1 {outcome.macro_f1:.2%} on validation, {outcome.untuned_macro_f1:.2%} with "
            f"what was used before: {outcome.gain * 100:+.2f} points ({low * 100:+.2f} to {high * 100:+.2f}); {used}",
            f"report: {outcome.report}/report.html",
        ]
    )
