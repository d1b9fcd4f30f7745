"""sortline classify: what the active model predicts for one text."""

import json
import sys
from math import isnan

import click
from rich.console import Console
from rich.table import Table

from db.queries import model_forms, model_versions, risk_targets
from db.session import session
from sortline.errors import InvalidDocumentError, NotFoundError
from sortline.settings import get_settings
from sortline.text import encode, repair

_TOP = 5


@click.command()
@click.argument("text", default="-")
@click.option("--checkpoint", help="Use this checkpoint folder instead of the active model version.")
@click.option("--json", "as_json", is_flag=True)
def command(text: str, checkpoint: str | None, as_json: bool) -> None:
    """Classify TEXT (`-`: standard input) in this process and print the result; nothing is stored."""
    from classifier.classifier import deciding_at, load_classifier
    from classifier.engines.choose import serves
    from classifier.figures import VersionFigures
    from classifier.risk_targets import thresholds_at

    settings = get_settings()
    uri, sha256 = checkpoint, None
    if uri is None:
        with session(settings.postgres_url) as opened:
            version = model_versions.active(opened)
            if version is None:
                raise NotFoundError("there is no active model: run `sortline import FILE`, then `sortline train`")
            form, uri, sha256 = model_forms.sealed(opened, version, serves(settings.form or version.form, settings))
            figures = VersionFigures.model_validate(model_forms.figures(opened, version, form))
            thresholds = thresholds_at(figures, risk_targets.chosen(opened), version.may_lack_proof)
    raw = sys.stdin.buffer.read() if text == "-" else encode(text)
    if not raw.strip():
        raise InvalidDocumentError("the text is empty", "empty_text")
    classifier = load_classifier(uri, sha256, settings)
    if checkpoint is None:
        classifier = deciding_at(classifier, classifier.checkpoint, thresholds)
    cleaned = repair(raw)[0]
    outputs = classifier.outputs([cleaned])
    probabilities, fit = classifier.probabilities(outputs.logits), classifier.fit(outputs)
    unread = classifier.prepare([cleaned])[0].unknown_share
    best, confidence, accepted = classifier.decide(probabilities, fit)
    labels = classifier.checkpoint.labels
    ranked = [(labels[i], float(probabilities[0, i])) for i in probabilities[0].argsort()[::-1][:_TOP]]
    decision = "accept" if accepted[0] else "review"
    if as_json:
        said = {"label": labels[best[0]], "confidence": float(confidence[0]), "decision": decision}
        said |= {"fit": None if isnan(fit[0]) else float(fit[0])}
        said |= {} if unread is None else {"unknown_share": unread}
        click.echo(json.dumps({**said, "candidates": [{"label": n, "probability": p} for n, p in ranked]}))
        return
    console = Console()
    fits = "" if isnan(fit[0]) else f", fit {fit[0]:.1%}"
    console.print(f"[bold]{labels[best[0]]}[/] {confidence[0]:.1%}{fits}, {decision}  ({classifier.engine.name})")
    table = Table(show_header=False, box=None)
    for name, probability in ranked:
        table.add_row(name, f"{probability:.1%}", "█" * round(probability * 30))
    console.print(table)
    if unread is not None:
        console.print(f"The model can't read {unread:.0%} of the text.", highlight=False)
