"""Pages from templates, with headers that forbid them to load anything from elsewhere."""

import secrets
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from db.queries.doubts import is_low
from sortline import reports, training_progress
from web.field_names import by_field
from web.links import root
from web.sessions import Person
from web.visible import visible

FOLDER = Path(__file__).resolve().parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
}
# Every form carries its session and its page, so that a form sent twice counts once.
# Without autocomplete="off" Firefox fills a reloaded page with the old values.
_HIDDEN = Markup(
    '<input type="hidden" name="csrf" value="{}" autocomplete="off">'
    '<input type="hidden" name="once" value="{}" autocomplete="off">'
)
# For pages with a script of ours, which needs more.
_SCRIPT_HEADERS = HEADERS | {
    "Content-Security-Policy": HEADERS["Content-Security-Policy"] + "; script-src 'self'; connect-src 'self'"
}
_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"), autoescape=select_autoescape(default=True), trim_blocks=True
)
_TEMPLATES.filters |= {
    "by_field": by_field, "model_versions": reports.model_versions,
    "training_said": training_progress.said, "training_plan": training_progress.plan,
    "training_share": training_progress.share, "duration": training_progress.duration, "visible": visible,
}  # fmt: skip
_TEMPLATES.tests["low_fit"] = is_low


def page(
    name: str, status: int = 200, person: Person | None = None, script: bool = False, **values: Any
) -> HTMLResponse:
    """A page from a template, in which ``root`` precedes the path of each link to a page of ours.

    Args:
        script: whether a script of ours belongs to it.
        person: who is signed in; ``csrf`` is then the hidden field of their forms, and ``leads`` and ``admin`` say
            whether they may do what leads and admins do.
    """
    return HTMLResponse(html(name, person=person, **values), status, headers=_SCRIPT_HEADERS if script else HEADERS)


def html(name: str, person: Person | None = None, **values: Any) -> str:
    """The HTML of a template: a page, or a piece that a script of ours inserts into its page."""
    if person is not None:
        csrf = _HIDDEN.format(person.csrf, secrets.token_urlsafe(16))
        values |= {"person": person, "csrf": csrf, "leads": person.may("lead"), "admin": person.may("admin")}
    return _TEMPLATES.get_template(name).render(root=root(), **values)
