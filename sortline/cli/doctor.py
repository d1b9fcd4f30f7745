"""sortline doctor: check whether this installation works."""

import json
import sys
from dataclasses import asdict

import click
from rich.console import Console
from rich.markup import escape

from sortline.cli.checks.finding import Finding
from sortline.cli.examine import examine
from sortline.settings import get_settings

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True)
def command(as_json: bool) -> None:
    """Check libraries, Postgres, Redis, disk, model store, accelerators and base model. Exit code 1: a check failed."""
    console = Console(soft_wrap=True, highlight=False)
    findings: list[Finding] = []
    for finding in examine(get_settings()):
        findings.append(finding)
        if not as_json:
            console.print(_line(finding))
    failed = sum(finding.level == "fail" for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": not failed, "findings": [asdict(finding) for finding in findings]}))
    sys.exit(1 if failed else 0)


def _line(finding: Finding) -> str:
    colour = _COLOURS[finding.level]
    line = f"[{colour}]{finding.level:4}[/] {escape(finding.name)}: {escape(finding.found)}"
    return f"{line}\n     → {escape(finding.advice)}" if finding.advice else line
