"""Every error as problem details (RFC 9457): one line on what went wrong, never a traceback."""

import contextlib
import logging
import math
from http import HTTPStatus
from typing import Any

import redis
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

from db.reading import first_line, is_unmigrated
from db.session import is_disk_full
from sortline import disk
from sortline.errors import (
    ConflictError,
    DiskFullError,
    InvalidDocumentError,
    InvalidInputError,
    NotFoundError,
    PostgresUnreachableError,
    QueueFullError,
    SortlineError,
    TrainingError,
    TransientError,
)
from web.addresses import caller_address, route_name
from web.links import restore_root, route_path
from web.refusals import Refusals
from web.render import page
from web.sessions import PageRefused, Person, signed_in, written

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
_NO_PAGE = "There is nothing at this address."
_FOR_FORMS = "There is no page at this address. It only accepts form submissions."
_TITLES = {  # where the status' own name says little to people
    405: "This can't be opened", 413: "This is too large", 422: "This can't be done", 500: "This went wrong",
}  # fmt: skip
_FOR_PROGRAMS = ("/v1/", "/desk/")  # below these paths nobody reads HTML, whatever the Accept header says
_STATUS: tuple[tuple[type[SortlineError], int], ...] = (
    (InvalidDocumentError, 422),
    (InvalidInputError, 422),
    (TrainingError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (QueueFullError, 429),
    (TransientError, 503),
)


class ProblemResponse(JSONResponse):
    """An answer with the media type of problem details."""

    media_type = MEDIA_TYPE


def problem(status: int, detail: str, headers: dict[str, str] | None = None, **members: Any) -> ProblemResponse:
    """Problem details; ``members`` are its extension members."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    shown = {**body, **{name: value for name, value in members.items() if value is not None}}
    return ProblemResponse(_printable(shown), status, headers)


def add_problems(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(SortlineError, _sortline)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    # Internal: such as a server that has become a standby, which only reads.
    for away in (OperationalError, InterfaceError, InternalError, PoolTimeoutError, redis.exceptions.RedisError):
        app.add_exception_handler(away, _server_away)
    app.add_exception_handler(ProgrammingError, _unmigrated)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unforeseen)


def _sortline(request: Request, error: Exception) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if isinstance(error, InvalidDocumentError):
        return problem(status, str(error), index=error.index, reason=error.reason)
    if isinstance(error, QueueFullError):
        return problem(status, str(error), {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))})
    if status == 503:
        log.warning("%s", error)
        return _unavailable(request, error)
    if status == 500:
        log.error("%s", error)
        return answer(request, 500, "The server is not configured correctly; its log says more.", {})
    return answer(request, status, str(error), {})


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 403 and not isinstance(error, PageRefused):
        _note_refused(request)
    headers = dict(error.headers or {})
    if isinstance(error, PageRefused):
        return problem(error.status_code, error.detail, headers, reason=error.reason)
    detail = error.detail
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
        takes = f"This address takes {headers['Allow']}, not {request.method}."
        detail = _FOR_FORMS if _is_for_people(request) else takes
    # The framework answers 400 to a body that it can't read.
    status = 422 if error.status_code == 400 else error.status_code
    # The framework's own 404, of a path that there isn't, only repeats the status.
    detail = _NO_PAGE if detail == HTTPStatus.NOT_FOUND.phrase else detail
    return answer(request, status, detail, headers)


def _note_refused(request: Request) -> None:
    """Count a request that its person or token may not make."""
    actor = getattr(request.state, "actor", "unknown")
    refusals: Refusals = request.app.state.refusals
    refusals.note(actor, "refused", route_name(request), caller_address(request))


def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["loc"][0] == "path" and _is_for_people(request):  # such as /documents/abc
        return answer(request, 404, _NO_PAGE, {})
    where, why = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
    if first["loc"][0] == "query" and _is_for_people(request):
        return answer(request, 422, f"This address is damaged at {first['loc'][-1]}=: {why}", {})
    return answer(request, 422, f"{where}: {why}", {})


def answer(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """A page for browsers, problem details for programs."""
    if not _is_for_people(request):
        return problem(status, detail, headers)
    title = _TITLES.get(status, HTTPStatus(status).phrase)
    said = detail[:1].upper() + detail[1:] + ("" if detail.endswith((".", "?")) else ".")
    shown = page("problem.html", status, _person(request), title=title, detail=said, written=written(request))
    shown.headers.update(headers or {})
    return shown


def _is_for_people(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and not route_path(request).startswith(_FOR_PROGRAMS)


def _person(request: Request) -> Person | None:
    """Who is signed in, for the page's menu; None also while Postgres can't say."""
    try:
        return signed_in(request)
    except (SQLAlchemyError, TransientError):
        return None


def _methods(request: Request) -> set[str]:
    """The methods of a path: the framework knows only the first route that matches it."""
    routes: list[Route] = request.app.state.routes
    first = next((route for route in routes if route.matches(request.scope)[0] is not Match.NONE), None)
    return {method for route in routes if first and route.path == first.path for method in route.methods or ()}


def _server_away(request: Request, error: Exception) -> Response:
    # A driver's error may name hosts or contain statements: its text goes to the log alone.
    log.warning("%s: %s", type(error).__name__, str(error).partition("\n")[0])
    return _unavailable(request, disk.full("postgres") if is_disk_full(error) else error)


def _unavailable(request: Request, error: Exception) -> Response:
    state = request.app.state
    full = state.queue.full_embedded()
    if not full and isinstance(error, PostgresUnreachableError | OperationalError | InterfaceError):
        with contextlib.suppress(TransientError):
            full = state.queue.full_disks()
    if full:
        error = disk.full(full[0])
    if isinstance(error, DiskFullError):
        return answer(request, 503, str(error), {"Retry-After": str(math.ceil(error.retry_after_s))})
    same = "" if _is_for_people(request) else " with the same ids"
    detail = f"Postgres or Redis can't be used now. Try again later{same}."
    return answer(request, 503, detail, {"Retry-After": str(RETRY_AFTER_S)})


def _unmigrated(request: Request, error: Exception) -> Response:
    if not is_unmigrated(error):
        log.error("the request failed", exc_info=error)
        return _unforeseen(request, error)
    log.error("%s", first_line(error))
    detail = "The database's tables are missing, or of another version: run `sortline migrate`."
    return answer(request, 503, detail, {"Retry-After": str(RETRY_AFTER_S)})


def _gone(_request: Request, _error: Exception) -> Response:
    return problem(400, "The connection was closed before the whole body had arrived.")


def _unforeseen(request: Request, _error: Exception) -> Response:
    # The server closes this connection afterwards; a client that does not know loses its next request.
    headers = {"Connection": "close", "Cache-Control": "no-store"}
    restore_root(request.app.state.settings.web_path)
    return answer(request, 500, "The server failed to carry out the request; its log says more.", headers)


def _printable(value: dict[str, Any]) -> dict[str, Any]:
    """The values with broken surrogates replaced: a detail may quote what was sent, and JSON can't carry them."""
    return {
        name: text.encode("utf-8", "replace").decode() if isinstance(text, str) else text
        for name, text in value.items()
    }
