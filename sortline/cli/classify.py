"""sortline classify: what the active model predicts for one text."""

import json
import sys

import click
from rich.console import Console
from rich.table import Table

from db.queries import model_forms, model_versions
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
    from classifier.classifier import load_classifier
    from classifier.engines.choose import serves

    settings = get_settings()
    uri, sha256 = checkpoint, None
    if uri is None:
        with session(settings.postgres_url) as opened:
            version = model_versions.active(opened)
            if version is None:
                raise NotFoundError("there is no active model: run `sortline import FILE`, then `sortline train`")
            _, uri, sha256 = model_forms.sealed(opened, version, serves(settings.form or version.form, settings))
    raw = sys.stdin.buffer.read() if text == "-" else encode(text)
    if not raw.strip():
        raise InvalidDocumentError("the text is empty", "empty_text")
    classifier = load_classifier(uri, sha256, settings)
    cleaned = repair(raw)[0]
    probabilities = classifier.predict_proba([cleaned])
    unread = classifier.prepare([cleaned])[0].unknown_share
    best, confidence, accepted = classifier.decide(probabilities)
    labels = classifier.checkpoint.labels
    ranked = [(labels[i], float(probabilities[0, i])) for i in probabilities[0].argsort()[::-1][:_TOP]]
    decision = "accept" if accepted[0] else "review"
    if as_json:
        said = {"label": labels[best[0]], "confidence": float(confidence[0]), "decision": decision}
        said |= {} if unread is None else {"unknown_share": unread}
        click.echo(json.dumps({**said, "candidates": [{"label": n, "probability": p} for n, p in ranked]}))
        return
    console = Console()
    console.print(f"[bold]{labels[best[0]]}[/] {confidence[0]:.1%}, {decision}  ({classifier.engine.name})")
    table = Table(show_header=False, box=None)
    for name, probability in ranked:
        table.add_row(name, f"{probability:.1%}", "█" * round(probability * 30))
    console.print(table)
    if unread is not None:
        console.print(f"The model can't read {unread:.0%} of the text.", highlight=False)
