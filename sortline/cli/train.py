"""sortline train: train a model version on people's decisions, in this process."""

import json
from typing import Any

import click
from sqlalchemy.orm import Session

from db.queries import model_forms, model_versions, risk_targets, training_runs
from db.session import session
from sortline.errors import ConflictError, NotFoundError
from sortline.home import account
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings, get_settings
from sortline.training_progress import TOLD_FROM, duration, plan


@click.command()
@click.option("--base-model", help="Encoder: a packaged one, a hub name or a folder.")
@click.option("--from-parent", is_flag=True, help="Start from the active version instead of the base model.")
@click.option("--epochs", type=int, help="Maximum number of epochs; training stops early when it gets no better.")
@click.option("--patience", type=int, help="Stop after this many epochs without a better macro-F1.")
@click.option("--learning-rate", type=float, help="Peak learning rate.")
@click.option("--head-factor", type=float, help="How many times faster the new head learns.")
@click.option("--layer-decay", type=float, help="How much slower each layer learns than the one above it.")
@click.option(
    "--dropout",
    type=float,
    help="Dropout of all layers that have it. Default: none with a fitted head and many examples.",
)
@click.option("--batch-size", type=int)
@click.option("--micro-batch", type=int, help="Documents computed at once; gradients are accumulated over a batch.")
@click.option("--warmup", type=float, help="Share of the steps used for warm-up.")
@click.option("--weight-decay", type=float)
@click.option("--label-smoothing", type=float)
@click.option("--class-weighting", type=click.Choice(["none", "balanced"]), help="balanced: all labels weigh the same.")
@click.option("--max-length", type=int, help="Maximum window length in tokens.")
@click.option("--min-examples", type=int, help="Examples that a label new to the model needs.")
@click.option("--seed", type=int)
@click.option("--strip-html", is_flag=True, help="Remove markup from texts.")
@click.option("--mask", type=click.Choice(["urls", "emails", "users"]), multiple=True, help="Mask these in texts.")
@click.option("--remove-stop-words", is_flag=True, help="BERT is better without it: docs/decisions/0005.")
@click.option("--keep-near-duplicates", is_flag=True, help="Only for comparison with published figures.")
@click.option("--drop-rare-labels", is_flag=True, help="Leave out labels with only one example.")
@click.option("--student", type=int, metavar="LAYERS", help="Teach a student of so many layers and the last.")
@click.option("--student-base", help="Teach a student that begins as this base model.")
@click.option("--cancel", is_flag=True, help="Cancel the waiting or running training, in whatever process it runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(
    strip_html: bool, mask: tuple[str, ...], remove_stop_words: bool, cancel: bool, as_json: bool, **asked: Any
) -> None:
    """Fine-tune on every labelled document, evaluate and calibrate. A candidate that passes the gate is promoted.

    Parameters not given here are the best that tuning found, or defaults. A run whose process died is resumed.
    """
    settings = get_settings()
    if cancel:
        click.echo(_cancel(settings.postgres_url))
        return
    from classifier.base_models import base_model_folder
    from classifier.cleaning import chosen_cleaning
    from classifier.figures import VersionFigures
    from classifier.risk_targets import at_target
    from sortline.cli.outcome import print_forms, print_outcome, print_targets
    from trainer.fine_tuning.parameters import read_parameters
    from trainer.fine_tuning.speed import foretell

    cleaning = chosen_cleaning(strip_html, mask, remove_stop_words)
    parameters = {name: value for name, value in asked.items() if value is not None and value is not False}
    asked_for = read_parameters(parameters)
    base = str(parameters.get("base_model") or settings.base_model)
    folder = None if parameters.get("from_parent") else base_model_folder(base)
    with session(settings.postgres_url) as opened:
        training_runs.expire(opened, settings.training_silent_s, settings.training_attempts)
        run_id = _run(opened, parameters | {"cleaning": cleaning.to_dict()})
        opened.commit()
        if folder is not None and (told := foretell(opened, settings.data_dir, asked_for, base, folder)):
            click.echo(told, err=True)
    version_id = _train(settings, run_id)
    with session(settings.postgres_url) as opened:
        version = model_versions.get(opened, version_id)
        served, forms = model_forms.served_figures(opened, version), model_forms.of_version(opened, version_id)
        target = risk_targets.chosen(opened)
    if as_json:
        outcome = {"training_run": run_id, "model_version": version.id, "status": version.status}
        click.echo(json.dumps({**outcome, "form": version.form, "metrics": version.metrics}))
    else:
        figures = at_target(VersionFigures.model_validate(served), target)
        print_outcome(version.id, version.status, figures)
        print_targets(figures.offers, figures.guarantee.risk_target)
        print_forms(version.form, forms)


def _run(opened: Session, parameters: dict[str, Any]) -> int:
    """A new run, or an unfinished one whose process died."""
    left = training_runs.unfinished(opened)
    if left is not None and left.state == "waiting" and left.attempts:
        click.echo(f"resuming training run {left.id} with its own parameters: its process died", err=True)
        return left.id
    run = training_runs.create(opened, "command line", parameters)
    training_runs.note(opened, account(), "train", run.id)
    return run.id


def _train(settings: Settings, run_id: int) -> int:
    from sortline.cli.interrupt import interruptible
    from sortline.cli.progress import bar
    from trainer.run import train

    with bar("fine-tuning") as update, interruptible() as check:
        shown: set[str] = set()

        def say_once(line: str, key: str) -> None:
            if key not in shown:
                shown.add(key)
                click.echo(line, err=True)

        def show(said: dict[str, Any]) -> None:
            check()
            say_once(said["stage"], said["stage"])
            if "of" in said:
                if said["done"] < said["of"]:
                    update(said["done"], said["of"], what=said["stage"])
            elif "steps" in said:
                if said["step"] >= TOLD_FROM:
                    say_once(plan(said), "plan")
                update(
                    said["step"],
                    said["steps"],
                    f"loss {said['loss']:.3f}, {duration(said['left_s'])} left",
                    what=said["stage"],
                )

        version_id = train(settings, run_id, show)
    if version_id is None:
        raise ConflictError(f"another process has taken training run {run_id}")
    return version_id


def _cancel(postgres: PostgresAddress) -> str:
    with session(postgres) as opened:
        run = training_runs.unfinished(opened)
        if run is None:
            raise NotFoundError("there is no waiting or running training to cancel")
        training_runs.cancel(opened, run.id, account())
        opened.commit()
        return f"training run {run.id} was cancelled"
