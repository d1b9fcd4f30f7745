"""Where what is audited was asked for: the web says it for each request, so that every audit row has it."""

from contextvars import ContextVar

came_from: ContextVar[str | None] = ContextVar("came_from", default=None)
