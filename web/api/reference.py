"""The reference page at /docs, made from the OpenAPI document, without scripts and files from other hosts."""

import json
from http import HTTPStatus
from typing import Any

from web.problems import MEDIA_TYPE

_METHODS = ("get", "post", "put", "patch", "delete")
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "index": {"type": "integer", "description": "Position of the invalid document in the request, from 0."},
        "reason": {"type": "string", "enum": ["bad_entry", "empty_text", "text_too_large"]},
    },
}
_RETRY: dict[str, Any] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, for OpenAPI."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": _PROBLEM}},
            **({"headers": _RETRY} if status in {429, 503} else {}),
        }
        for status in statuses
    }


def operations(openapi: dict[str, Any]) -> list[dict[str, Any]]:
    """What the page shows about each route, in the order of the OpenAPI document."""
    return [
        _operation(openapi, path, method, route[method])
        for path, route in openapi["paths"].items()
        for method in _METHODS
        if method in route
    ]


def _operation(openapi: dict[str, Any], path: str, method: str, told: dict[str, Any]) -> dict[str, Any]:
    answers = [{"status": status, "description": answer["description"]} for status, answer in told["responses"].items()]
    return {
        "method": method.upper(),
        "path": path,
        "needs_token": bool(told.get("security")),
        "description": told.get("description", ""),
        "request": _pretty(openapi, told.get("requestBody")),
        "answers": answers,
        "response": next((_pretty(openapi, told["responses"][s]) for s in told["responses"] if s < "300"), None),
    }


def _pretty(openapi: dict[str, Any], part: dict[str, Any] | None) -> str | None:
    schema = ((part or {}).get("content", {}).get("application/json") or {}).get("schema")
    return json.dumps(_resolved(openapi, schema), indent=2, ensure_ascii=False) if schema else None


def _resolved(openapi: dict[str, Any], value: Any) -> Any:
    """The schema with references to components replaced by the components, which are not recursive."""
    if isinstance(value, list):
        return [_resolved(openapi, item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _resolved(openapi, openapi["components"]["schemas"][value["$ref"].rpartition("/")[2]])
    return {key: _resolved(openapi, item) for key, item in value.items()}
