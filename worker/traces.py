"""A trace of each micro-batch, recorded when it is acknowledged, so that the intake itself needs no tracing."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sortline import traces
from worker.entry import Entry
from worker.micro_batch import MicroBatch
from worker.writer import Committed

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

_FIELD = traces.FIELD.encode()
_MOST_LINKS = 128  # links that OpenTelemetry keeps per span


def record(committed: Committed) -> None:
    """Record each micro-batch that a transaction stored; does nothing while traces are off."""
    if traces.tracer() is None:
        return
    for batch in committed.batches:
        _record_batch(batch, {**batch.times, **committed.times})


def _record_batch(batch: MicroBatch, times: dict[str, tuple[float, float]]) -> None:
    """Record a span `classify` with a child span for each stage.

    If all documents came in one append, it continues that append's trace; else it starts a trace with a link to each.
    """
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, set_span_in_context

    tracer = traces.tracer()
    assert tracer is not None
    found = _appends(batch.entries)
    parent = set_span_in_context(NonRecordingSpan(found[0]), Context()) if len(found) == 1 else Context()
    links = [Link(context) for context in found[:_MOST_LINKS]] if len(found) > 1 else []
    attributes: dict[str, str | int] = {
        "sortline.lane": batch.lane, "sortline.batch": batch.id,
        "messaging.system": "redis", "messaging.batch.message_count": len(batch),
    }  # fmt: skip
    if batch.model is not None:
        attributes["sortline.model_version"] = batch.model.version_id
    ahead = time.time() - time.monotonic()
    stages = {stage: (_ns(ahead + start), _ns(ahead + end)) for stage, (start, end) in times.items()}
    began, ended = min(start for start, _ in stages.values()), max(end for _, end in stages.values())
    span = tracer.start_span("classify", parent, SpanKind.CONSUMER, attributes, links, began)
    inside = set_span_in_context(span, Context())
    for stage, (start, end) in stages.items():
        tracer.start_span(stage, inside, start_time=start).end(end)
    span.end(ended)


def _appends(entries: Iterable[Entry]) -> list["SpanContext"]:
    """The distinct spans in which producers appended the entries; invalid trace contexts are skipped."""
    from opentelemetry.context import Context
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carried = {
        value
        for entry in entries
        for name, value in zip(entry.fields[::2], entry.fields[1::2], strict=False)
        if name == _FIELD
    }
    read = TraceContextTextMapPropagator().extract
    found = [
        get_current_span(read({traces.FIELD: value.decode("ascii", "replace")}, Context())).get_span_context()
        for value in sorted(carried)
    ]
    return [context for context in found if context.is_valid]


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
