"""sortline train: human decisions to a model version, in this process."""

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from db.queries import model_versions, training_runs
from db.session import session
from sortline.errors import ConflictError
from sortline.settings import get_settings


@click.command()
@click.option("--base-model", help="Encoder: a packaged one, a hub name, or a folder.")
@click.option("--epochs", type=int)
@click.option("--learning-rate", type=float)
@click.option("--batch-size", type=int)
@click.option("--max-length", type=int, help="Longest window, in tokens.")
@click.option("--seed", type=int)
@click.option("--strip-html", is_flag=True, help="Clean markup out of texts.")
@click.option("--mask", type=click.Choice(["urls", "emails", "users"]), multiple=True, help="Mask what names people.")
@click.option("--remove-stop-words", is_flag=True, help="BERT is better without it: docs/decisions/0005.")
@click.option("--keep-near-duplicates", is_flag=True, help="To compare with published figures only.")
@click.option("--drop-rare-labels", is_flag=True, help="Go on without labels that have one example only.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def command(strip_html: bool, mask: tuple[str, ...], remove_stop_words: bool, as_json: bool, **asked: Any) -> None:
    """Fine-tune on every labelled document, evaluate, calibrate; a candidate that passes the gate goes live."""
    from sortline.cli.progress import bar
    from trainer.cleaning import chosen_cleaning
    from trainer.lease import SILENT_S
    from trainer.parameters import read_parameters
    from trainer.run import train

    settings = get_settings()
    cleaning = chosen_cleaning(strip_html, mask, remove_stop_words)
    parameters = {name: value for name, value in asked.items() if value is not None}
    read_parameters(parameters)
    with session(settings.postgres_url) as opened:
        training_runs.expire(opened, SILENT_S)
        run_id = training_runs.create(opened, "command line", parameters | {"cleaning": cleaning.to_dict()}).id
        opened.commit()
    with bar("fine-tuning") as update:

        def show(said: dict[str, Any]) -> None:
            if "step" in said:
                update(said["step"], said["steps"], f"loss {said['loss']:.3f}, {said['left_s']:.0f} s left")

        version_id = train(settings, run_id, show)
    if version_id is None:
        raise ConflictError(f"training run {run_id} was taken by another process")
    with session(settings.postgres_url) as opened:
        version = model_versions.get(opened, version_id)
    if as_json:
        outcome = {"training_run": run_id, "model_version": version.id, "status": version.status}
        click.echo(json.dumps({**outcome, "metrics": version.metrics}))
    else:
        _print(version.id, version.status, version.metrics)


def _print(version_id: int, status: str, metrics: dict[str, Any]) -> None:
    console = Console()
    counts, test = metrics["snapshot"], metrics.get("test", {})
    table = Table(show_header=False, box=None)
    table.add_row("model version", f"{version_id} ({status})")
    table.add_row(
        "documents",
        f"train {counts['train']:,}, validation {counts['validation']:,}, test {counts['test']:,}",
    )
    table.add_row("left out", f"{counts['left_out']:,} training texts that nearly repeat held-out ones")
    table.add_row("leak check", f"{counts['leaks']:,} near-duplicates across splits")
    if test.get("documents"):
        table.add_row("test accuracy", f"{test['accuracy']:.2%} (macro-F1 {test['macro_f1']:.2%})")
        risk = "" if test["risk"] is None else f", {test['risk']:.2%} of them wrong"
        table.add_row("accepted", f"{test['coverage']:.1%} of test{risk}")
        table.add_row("calibration", f"ECE {test['ece']:.2%} at temperature {metrics['temperature']:.2f}")
    if metrics.get("baselines"):
        simple = metrics["baselines"]
        table.add_row("for scale", f"TF-IDF {simple['tfidf']:.2%}, the most frequent label {simple['majority']:.2%}")
    table.add_row("gate", f"{metrics['gate']['outcome']}: {metrics['gate']['reason']}")
    for name in ("few_examples", "untrained_labels"):
        if counts.get(name):
            table.add_row(name.replace("_", " "), ", ".join(counts[name]))
    console.print(table)
    if test.get("documents"):
        weakest = sorted(test["per_label"].items(), key=lambda item: item[1]["f1"])[:5]
        per_label = Table("weakest labels", "precision", "recall", "F1", "support", box=None)
        for label, row in weakest:
            per_label.add_row(
                label,
                f"{row['precision']:.2f}",
                f"{row['recall']:.2f}",
                f"{row['f1']:.2f}",
                str(row["support"]),
            )
        console.print(per_label)
