"""Text from outside that Postgres can't keep is refused in one sentence, at every door."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args

import filled_queue
import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from benchmarks.schema import attack, doors_of
from sortline.settings import Settings
from tests.web.conftest import TOKEN
from web.app import ROUTES, create_app
from web.sessions import COOKIE

UNKEPT = ("a\x00b", "a\ud800b")
Browse = Callable[..., Any]


def _fields() -> Iterator[tuple[str, Any]]:
    """Every value that a route takes, as (where, its type)."""
    for route in (route for each in ROUTES for route in each.router.routes if isinstance(route, APIRoute)):
        for taken in _flat(route.dependant):
            for field in [*taken.path_params, *taken.query_params, *taken.header_params, *taken.cookie_params]:
                yield f"{route.path} {field.name}", Annotated[field.field_info.annotation, field.field_info]
            for field in taken.body_params:
                yield from _inside(f"{route.path} body", field.field_info.annotation)


def _flat(taken: Dependant) -> Iterator[Dependant]:
    yield taken
    for inner in taken.dependencies:
        yield from _flat(inner)


def _inside(where: str, kind: Any) -> Iterator[tuple[str, Any]]:
    for part in (kind, *get_args(kind)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            for name, info in part.model_fields.items():
                yield f"{where}.{name}", Annotated[info.annotation, info]
                yield from _inside(f"{where}.{name}", info.annotation)


@pytest.mark.parametrize("text", UNKEPT)
def test_no_route_takes_a_text_that_can_not_be_kept(text: str) -> None:
    taken = []
    for where, kind in _fields():
        for value in (text, [text], {"a": [text]}, {text: 1}):
            try:
                TypeAdapter(kind).validate_python(value)
                taken.append(where)
            except (ValidationError, ValueError):
                continue

    assert taken == []
    assert len(list(_fields())) > 50


FORMS = [
    ("/labels", {"name": "a\x00"}), ("/labels/1", {"description": "a\x00"}), ("/documents/1/flag", {"note": "a\x00"}),
    ("/webhooks/pause", {"name": "a\x00"}), ("/dead-letters/requeue", {"reason": "a\x00"}),
    ("/dead-letters/requeue", {"id": "9" * 30}), ("/incidents/1/close", {"because": "a\x00"}),
    ("/model-versions/1/promote", {"reason": "a\x00"}), ("/model-versions/rollback", {"leave": "9" * 5000}),
    ("/model-versions/rollback", {"leave": "9" * 12}), ("/model-versions/1/shadow", {"percent": "nan"}),
    ("/documents/export", {"query": "words=a%00", "format": "csv"}), ("/documents/bulk", {"query": "words=a%00"}),
    ("/import/preview", {"token": "a\x00"}), ("/account/password", {"present": "a\x00", "password": "b\x00" * 12}),
    ("/labels/1/merge", {"into": "\u0661"}), ("/labels", {"name": "a", "field\x00": "b"}),
    ("/labels", {str(i): "" for i in range(2000)}),
]  # fmt: skip
JSON = {"Content-Type": "application/json"}
BODIES = [
    ("/v1/documents/flag?source=mail&id=a", r'{"note": "a\u0000"}'),
    ("/v1/documents/flag?source=mail&id=a", r'{"note": "a\ud800"}'),
    ("/v1/reviews", r'{"reviews": [{"source": "mail", "id": "a", "label": "a", "reviewer": "\u0000"}]}'),
    ("/v1/reviews", r'{"reviews": [{"source": "mail", "id": "a", "label": "\udc00"}]}'),
    ("/v1/training-runs", r'{"parameters": {"base_model": "\u0000"}}'),
    ("/v1/training-runs", '{"parameters": {"head_factor": 1e999}}'),
    ("/v1/training-runs", '{"parameters": {"head_factor": NaN}}'),
    ("/v1/training-runs", '{"parameters": ' + '{"a":' * 100_000),
    ("/v1/training-runs", '{"parameters": {"epochs": ' + "9" * 5000 + "}}"),
    ("/v1/model-versions/1/promote", r'{"force": true, "reason": "\u0000"}'),
    ("/v1/documents", "[" * 100_000), ("/v1/documents/flag?source=%00&id=a", "{}"),
]  # fmt: skip
PATHS = ("/documents/of?source=%00&id=a", "/labels?find=%00", "/dead-letters?reason=%00", "/documents?words=%00",
         "/sign-in?next=%00", "/people?days=%00", "/documents?after=1-" + "9" * 5000, "/static/desk/%00.js")  # fmt: skip
SIGN_INS = ({"name": "a\x00", "password": "b"}, {"name": "a", "password": "b\x00"})
KINDS = [f"multipart/form-data; boundary=x{more}" for more in ("", "; charset=idna", "; charset=raw_unicode_escape")]


def test_no_form_and_no_body_breaks_the_web(sign_in_as: Browse, web: httpx.Client, session: Session) -> None:
    filled_queue.add_labels(session)
    filled_queue.add_document(session, "a text", name="a")
    admin = sign_in_as("admin")

    told = [(path, admin.send_form(path, **fields).status_code) for path, fields in FORMS]
    told += [(path, web.post(path, content=body, headers=JSON).status_code) for path, body in BODIES]
    told += [(path, admin.get(path).status_code) for path in PATHS]
    told += [(str(how), admin.post("/sign-in", data=how).status_code) for how in SIGN_INS]
    told += [(kind, _upload(admin, kind).status_code) for kind in KINDS]

    assert [each for each in told if each[1] not in (404, 409, 415, 422)] == []


def _upload(admin: Any, kind: str) -> httpx.Response:
    body = f'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{admin.csrf}\r\n--x\r\n'
    body += 'Content-Disposition: form-data; name="file"; filename="a\x00.csv"\r\n\r\ntext,label\r\n--x--\r\n'
    return admin.post("/import", content=body.encode(), headers={"Content-Type": kind})


def test_schemathesis_finds_nothing_in_a_short_run(
    sign_in_as: Browse, web: httpx.Client, session: Session, settings: Settings
) -> None:
    filled_queue.add_labels(session)
    filled_queue.add_document(session, "a text", name="a")
    admin, base = sign_in_as("admin"), str(web.base_url).rstrip("/")

    doors = doors_of(create_app(settings), TOKEN, admin.cookies[COOKIE])
    for seconds in ("6", "60"):  # on busy cores the first may be over before it began
        judged = {
            name: attack(base, door, "--phases", "coverage", "--max-time", seconds) for name, door in doors.items()
        }
        if all(one.requests > 20 for one in judged.values()):
            break

    assert {name: one.failures for name, one in judged.items()} == {"token": [], "session": []}
    assert all(one.requests > 20 for one in judged.values())
