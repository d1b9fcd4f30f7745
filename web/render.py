"""Pages from templates, with headers that let them load nothing from elsewhere."""

from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup

from web.links import root
from web.people import Person

FOLDER = Path(__file__).resolve().parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
}
# For pages with a script of ours, which asks for more.
_SCRIPT_HEADERS = HEADERS | {
    "Content-Security-Policy": HEADERS["Content-Security-Policy"] + "; script-src 'self'; connect-src 'self'"
}
_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"), autoescape=select_autoescape(default=True), trim_blocks=True
)


def page(
    name: str, status: int = 200, person: Person | None = None, script: bool = False, **values: Any
) -> HTMLResponse:
    """A page of a template, in which ``root`` stands before the path of each link to a page of ours.

    Args:
        script: whether a script of ours belongs to it.
        person: who is signed in; ``csrf`` is then the hidden field of their forms, ``leads`` and ``admin``
            whether they may do what leads and admins do.
    """
    if person is not None:
        csrf = Markup('<input type="hidden" name="csrf" value="{}">').format(person.csrf)
        values |= {"person": person, "csrf": csrf, "leads": person.may("lead"), "admin": person.may("admin")}
    html = _TEMPLATES.get_template(name).render(root=root(), **values)
    return HTMLResponse(html, status, headers=_SCRIPT_HEADERS if script else HEADERS)
