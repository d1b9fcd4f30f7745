"""A micro-batch as a trace, told when it is acknowledged: the intake itself knows nothing of it."""

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
_MOST_LINKS = 128  # what OpenTelemetry keeps of a span's links


def tell(committed: Committed) -> None:
    """Tell of each micro-batch that a transaction stored; nothing while traces are off."""
    if traces.tracer() is None:
        return
    for batch in committed.batches:
        _tell_batch(batch, {**batch.times, **committed.times})


def _tell_batch(batch: MicroBatch, times: dict[str, tuple[float, float]]) -> None:
    """A span `classify` with one a stage in it.

    Where all documents came by one append it goes on with that trace; else it is one of its own, with a link to each.
    """
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, set_span_in_context

    tracer = traces.tracer()
    assert tracer is not None
    found = _appends(batch.entries)
    parent = set_span_in_context(NonRecordingSpan(found[0]), Context()) if len(found) == 1 else Context()
    links = [Link(context) for context in found[:_MOST_LINKS]] if len(found) > 1 else []
    told: dict[str, str | int] = {
        "sortline.lane": batch.lane, "sortline.batch": batch.id, "sortline.model_version": batch.model.version_id,
        "messaging.system": "redis", "messaging.batch.message_count": len(batch),
    }  # fmt: skip
    ahead = time.time() - time.monotonic()
    stages = {stage: (_ns(ahead + start), _ns(ahead + end)) for stage, (start, end) in times.items()}
    began, ended = min(start for start, _ in stages.values()), max(end for _, end in stages.values())
    span = tracer.start_span("classify", parent, SpanKind.CONSUMER, told, links, began)
    inside = set_span_in_context(span, Context())
    for stage, (start, end) in stages.items():
        tracer.start_span(stage, inside, start_time=start).end(end)
    span.end(ended)


def _appends(entries: Iterable[Entry]) -> list["SpanContext"]:
    """The spans that appended the entries, each once; what no producer's tracing wrote is passed over."""
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
