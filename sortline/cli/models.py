"""sortline models: list, show, promote, roll back model versions."""

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from classifier.figures import VersionFigures
from classifier.risk_targets import at_target, check_offered, moved_since, named, read_target
from db.models import ModelForm, ModelVersion
from db.queries import incidents, model_forms, model_versions, risk_targets, shadows
from db.session import session
from sortline.home import account
from sortline.settings import get_settings


@click.group()
def command() -> None:
    """List, show, promote and roll back model versions; choose the form in which one serves, and what is promised."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True)
def list_(as_json: bool) -> None:
    """List model versions, newest first."""
    with session(get_settings().postgres_url) as opened:
        versions = model_versions.listing(opened)
        served = {version.id: model_forms.served_figures(opened, version) for version in versions}
    if as_json:
        click.echo(json.dumps([_describe(version) for version in versions]))
        return
    table = Table("version", "status", "form", "base model", "test accuracy", "gate", "created", "promoted", box=None)
    for version in versions:
        figures = VersionFigures.model_validate(served[version.id])
        accuracy = figures.test.accuracy
        table.add_row(
            str(version.id), version.status + (", starter" if version.starter else ""), version.form,
            version.base_model,
            f"{accuracy:.2%}" if accuracy is not None else "not measured",
            figures.gate.outcome or "not judged",
            f"{version.created_at:%Y-%m-%d %H:%M}",
            f"{version.promoted_at:%Y-%m-%d %H:%M}" if version.promoted_at else "never",
        )  # fmt: skip
    Console().print(
        table if versions else "there is no model version yet: run `sortline import FILE`, then `sortline train`"
    )


@command.command()
@click.argument("version", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON (default without a terminal).")
def show(version: int, as_json: bool) -> None:
    """Show a model version: its documents, figures, forms and the result of the promotion gate."""
    from sortline.cli.outcome import print_forms, print_outcome, print_targets

    with session(get_settings().postgres_url) as opened:
        found = model_versions.get(opened, version)
        forms = model_forms.of_version(opened, version)
        served, target = model_forms.served_figures(opened, found), risk_targets.chosen(opened)
    if as_json or not sys.stdout.isatty():
        described = [_describe_form(each, found) for each in forms]
        click.echo(json.dumps(_describe(found) | {"forms": described, "metrics": found.metrics}, indent=2))
    else:
        figures = at_target(VersionFigures.model_validate(served), target, found.may_lack_proof)
        print_outcome(found.id, found.status, figures)
        print_targets(figures.offers, figures.guarantee.risk_target)
        print_forms(found.form, forms)


@command.command()
@click.argument("version", type=int)
@click.option("--force", is_flag=True, help="Promote it even if the gate refused it; needs --reason.")
@click.option("--reason", default="", help="Why, for the audit log.")
@click.option("--json", "as_json", is_flag=True)
def promote(version: int, force: bool, reason: str, as_json: bool) -> None:
    """Make a model version the active one; workers switch to it within seconds."""
    if force and not reason.strip():
        raise click.UsageError("--force needs a --reason")
    because = reason.strip() if force else None
    with session(get_settings().postgres_url) as opened:
        found = model_versions.activate(opened, version, actor=account(), forced_because=because)
        opened.commit()
    _print_active(found, as_json)


@command.command()
@click.option(
    "--leave", type=int, help="Roll back only if this version is active, so that repeating the command changes nothing."
)
@click.option("--json", "as_json", is_flag=True)
def rollback(leave: int | None, as_json: bool) -> None:
    """Return to the version that was active before."""
    with session(get_settings().postgres_url) as opened:
        found = model_versions.rollback(opened, account(), leave)
        opened.commit()
    _print_active(found, as_json)


@command.command("serve-form")
@click.argument("version", type=int)
@click.argument("form", required=False)
@click.option("--reason", default="", help="Why a form serves that is not proved; for the audit log.")
@click.option("--back", is_flag=True, help="Return to the form that served before.")
@click.option("--json", "as_json", is_flag=True)
def serve_form(version: int, form: str | None, reason: str, back: bool, as_json: bool) -> None:
    """Let another FORM of a model version serve; workers switch to it within seconds."""
    if back == (form is not None):
        raise click.UsageError("give the name of a form, or --back")
    with session(get_settings().postgres_url) as opened:
        if form is None:
            found = model_forms.serve_previous(opened, version, account())
        else:
            found = model_forms.serve(opened, version, form, account(), reason.strip() or None)
        opened.commit()
    said = f"model version {found.id} serves in its form {found.form}"
    click.echo(json.dumps(_describe(found)) if as_json else said)


@command.command("target")
@click.argument("target", required=False)
@click.option("--as-set", is_flag=True, help="Take the choice back: SORTLINE_RISK_TARGET holds again.")
@click.option("--json", "as_json", is_flag=True)
def choose_target(target: str | None, as_set: bool, as_json: bool) -> None:
    """Choose the risk TARGET (as 2%): the share of accepted documents that may be wrong. Without it: show them.

    It holds for the whole installation, without a new training; workers take it up within seconds, and accept what
    waits as doubtful and reaches it now. What was accepted stays accepted. A model version accepts what is proved for
    the target, and nothing where nothing is.
    """
    from sortline.cli.outcome import print_targets

    if as_set and target is not None:
        raise click.UsageError("--as-set takes the choice back; give no TARGET with it")
    settings, wanted = get_settings(), read_target(target) if target is not None else None
    with session(settings.postgres_url) as opened:
        active = model_versions.active(opened)
        figures = VersionFigures.model_validate(model_forms.served_figures(opened, active) if active else {})
        if wanted is not None:
            check_offered(wanted, settings.risk_target)
        if wanted is not None or as_set:
            risk_targets.choose(opened, wanted, account())
            opened.commit()
        chosen = risk_targets.chosen(opened)
        may_lack_proof = active is not None and active.may_lack_proof
        moved = moved_since(incidents.drifted_since(opened, active.created_at) if active else None)
    now = at_target(figures, chosen, may_lack_proof)
    if as_json:
        offers = [each.stored() for each in figures.offers]
        click.echo(json.dumps({"chosen": chosen, "setting": settings.risk_target, "offers": offers}))
        return
    held = f"{named(chosen)}, as chosen" if chosen else f"{named(settings.risk_target)}, as set"
    click.echo(f"risk target: {held}")
    click.echo(now.guarantee.sentence or "no model version with a promise is active")
    for each in filter(None, (now.guarantee.about, moved)):
        click.echo(each)
    print_targets(figures.offers, now.guarantee.risk_target)


@command.command()
@click.argument("version", type=int, required=False)
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=0.1, show_default=True,
              help="Share of the documents that it classifies too.")  # fmt: skip
@click.option("--stop", is_flag=True, help="Stop the running shadow.")
@click.option("--json", "as_json", is_flag=True)
def shadow(version: int | None, share: float, stop: bool, as_json: bool) -> None:
    """Run a model version in the shadow of the active one; its answers are not sent. Without VERSION: show results."""
    if stop and version is not None:
        raise click.UsageError("--stop stops the running shadow; give no VERSION with it")
    with session(get_settings().postgres_url) as opened:
        if stop:
            shadows.stop(opened, account(), "ended at the command line")
        elif version is not None:
            shadows.start(opened, version, share, account())
        opened.commit()
        found = shadows.running(opened)
        evidence = shadows.evidence(opened, found.model_version_id) if found else None
    if as_json:
        seen = None if evidence is None else evidence._asdict() | {"p": evidence.p}
        click.echo(json.dumps({"model_version": found and found.model_version_id, "evidence": seen}))
    elif found is None or evidence is None:
        click.echo("no model version runs in the shadow of the active one")
    else:
        click.echo(
            f"model version {found.model_version_id} runs in the shadow of the active one on {found.share:.0%} of the "
            f"documents: {evidence.documents:,} classified, {evidence.alike:,} with the same label; where labels "
            f"differ and a person decided, the shadow was right: {evidence.shadow:,}, the active version: "
            f"{evidence.line:,}"
        )
        if found.trouble:
            click.echo(found.trouble)


def _print_active(version: ModelVersion, as_json: bool) -> None:
    click.echo(json.dumps(_describe(version)) if as_json else f"model version {version.id} is active")


def _describe(version: ModelVersion) -> dict[str, Any]:
    return {
        "id": version.id,
        "status": version.status,
        "starter": version.starter,
        "form": version.form,
        "base_model": version.base_model,
        "checkpoint_uri": version.checkpoint_uri,
        "sha256": version.sha256,
        "parent_id": version.parent_id,
        "created_at": version.created_at.isoformat(),
        "promoted_at": version.promoted_at.isoformat() if version.promoted_at else None,
    }


def _describe_form(form: ModelForm, version: ModelVersion) -> dict[str, Any]:
    return {
        "name": form.name,
        "state": form.state,
        "serves": form.name == version.form,
        "uri": form.uri,
        "sha256": form.sha256,
        "created_at": form.created_at.isoformat(),
        "figures": form.figures,
    }
