"""The web under inputs that nobody would send: schemathesis on `/v1` with a token, on pages and forms with a session.

The line: requests, server_errors (answers of 500 and more but 503, which is documented), violations (of the OpenAPI
document), seconds.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from copy import copy
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from benchmarks.model import register_stub
from benchmarks.stack import result, say, stack
from db.queries import api_tokens, people
from db.session import session
from sortline.queue import Document
from web.app import ROUTES, create_app
from web.render import FOLDER
from web.sessions import COOKIE, _csrf

_DURATION_S = 600
# What ends the session itself is tried apart.
_LEFT_OUT = ("/sign-out", "/account/password", "/account/sessions/end")
_CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
[generation]
allow-x00 = true
[[operations]]
# What the document can't say: which base models and labels there are, that 64 bits bound whole numbers in meta, that
# an idempotency key was used before. And schemathesis puts what was in no answer into paths as None.
include-path-regex = "^/v1/(training-runs|reviews|documents$|documents/.*flag$|model-versions/|risk-target$)"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "503"]
"""
_LONGEST_S = "65"  # of an answer that is waited for


class Judged(NamedTuple):
    """What a run of schemathesis found; ``failures``: a line each."""

    requests: int
    failures: list[str]


class Door(NamedTuple):
    """What is tried, and how: an OpenAPI document, headers, and schemathesis' checks."""

    document: dict[str, Any]
    headers: dict[str, str]
    checks: str


def schema() -> int:
    """Ten minutes (DURATION= seconds) of all phases; returns how many answers broke what is promised."""
    seconds = int(os.environ.get("DURATION", _DURATION_S))
    began = time.monotonic()
    with stack("schema", classifier="benchmarks.stub:load") as made:
        register_stub(made)
        made.queue.append([Document(f"d{i}", f"a text with a number, {i}", "schema") for i in range(200)], "live")
        made.client.xadd(made.settings.stream("live"), {"id": "", "text": "no id"})
        token, cookie = _let_in(made.settings.postgres_url)
        doors = doors_of(create_app(made.settings), token, cookie)
        with made.worker(), made.web() as base:
            made.wait_drained(120)
            judged = [attack(base, door, "--max-time", str(seconds // len(doors))) for door in doors.values()]
        failures = [each for one in judged for each in one.failures]
        errors = sum(each.startswith("ServerError") for each in failures)
        if errors:
            say((made.settings.data_dir / "web.log").read_text()[-100_000:])
    result(
        "schema", requests=sum(one.requests for one in judged), server_errors=errors,
        violations=len(failures) - errors, seconds=round(time.monotonic() - began),
    )  # fmt: skip
    return len(failures)


def doors_of(app: FastAPI, token: str, cookie: str) -> dict[str, Door]:
    """`/v1` as a program comes to it, and the pages as somebody's browser does."""
    return {
        "token": Door(app.openapi(), {"Authorization": f"Bearer {token}"}, "all"),
        "session": Door(
            pages_document(_csrf(cookie)), {"Cookie": f"{COOKIE}={cookie}", "X-CSRF-Token": _csrf(cookie)},
            "not_a_server_error",
        ),
    }  # fmt: skip


def attack(base: str, door: Door, *options: str) -> Judged:
    """Let schemathesis try a door; ``options``: of its command, which say for how long."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        (at / "openapi.json").write_text(json.dumps(door.document))
        (at / "schemathesis.toml").write_text(_CONFIG)
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml", "run",
            "openapi.json", "--url", base, "--checks", door.checks, "--continue-on-failure", "--warnings",
            "off", "--no-color", "--request-timeout", _LONGEST_S, "--max-response-time", _LONGEST_S,
            "--report", "json", "--report-json-path", "report.json", "--seed", "1", *options,
        ]  # fmt: skip
        for name, value in door.headers.items():
            command += ["--header", f"{name}: {value}"]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        report = json.loads((at / "report.json").read_text())
    found = [f"{each['type']}: {', '.join(each['operations'])}" for each in report["failures"]]
    found += [f"not tried: {str(each)[:500]}" for each in report["errors"]]
    if found or not report["test_cases"]["generated"]:
        say(ran.stdout)
    return Judged(report["test_cases"]["generated"], found)


def pages_document(csrf: str) -> dict[str, Any]:
    """An OpenAPI document of the pages, which ours leaves out; each form may have any field that a template has."""
    routes = [
        copy(route) for each in ROUTES for route in each.router.routes
        if isinstance(route, APIRoute) and not route.include_in_schema and route.path not in _LEFT_OUT
    ]  # fmt: skip
    for route in routes:
        route.include_in_schema = True
    made = get_openapi(title="pages", version="1", routes=routes)
    for operations in made["paths"].values():
        if "post" in operations:
            operations["post"].setdefault("requestBody", _form(csrf))
    return made


def _form(csrf: str) -> dict[str, Any]:
    templates = (path.read_text() for path in (FOLDER / "templates").glob("*.html"))
    names = sorted({name for template in templates for name in re.findall(r'\bname="(\w+)"', template)} - {"csrf"})
    schema = {
        "type": "object", "required": ["csrf"],
        "properties": {"csrf": {"const": csrf}, **{name: {"type": "string"} for name in names}},
    }  # fmt: skip
    return {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}


def _let_in(database: Any) -> tuple[str, str]:
    """A token of every scope, and the cookie of an admin."""
    with session(database) as opened:
        api_tokens.add(opened, "schema", sha256(b"schema").digest(), api_tokens.SCOPES, "benchmark")
        cookie = people.sign_in(opened, people.add(opened, "schema", "admin", "benchmark"), "benchmark")
        opened.commit()
    return "schema", cookie
