"""OpenTelemetry traces from a document's append to its acknowledgement; off unless TRACES_URL is set.

The libraries are in the extra `traces` and are loaded only then. Sampling and everything else is set by
OpenTelemetry's own `OTEL_*` variables.
"""

import atexit
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sortline.errors import ConfigurationError

if TYPE_CHECKING:
    import redis
    from fastapi import FastAPI
    from opentelemetry.trace import Tracer
    from sqlalchemy import Engine

FIELD = "traceparent"  # a stream entry's field, in the format of W3C Trace Context
_PRIVATE = "/health,/metrics,/sign-in"  # requested all the time, or with a secret in the address
_REST_S = 3.0
_on: list["Tracer"] = []


def set_up(url: str | None, service: str) -> bool:
    """Send this process's spans to this address from now on; returns whether traces are on.

    Args:
        url: SORTLINE_TRACES_URL; None: no traces.

    Raises:
        ConfigurationError: they are on, but the libraries are missing.
    """
    if not url:
        return False
    if _on:
        return True
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        raise ConfigurationError("SORTLINE_TRACES_URL needs libraries: pip install 'sortline[traces]'") from None
    resource = Resource.create({"service.name": f"sortline-{service}"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
    trace.set_tracer_provider(provider)
    _end_with_the_process(provider.shutdown)
    _on.append(provider.get_tracer("sortline"))
    return True


def _end_with_the_process(send_rest: Callable[[], None]) -> None:
    """Send what is left when the process ends, for a few seconds, even if the receiver can't be reached."""
    ends = threading.Event()

    def wait() -> None:
        ends.wait()
        send_rest()

    # Started now, because no thread can start while the interpreter exits.
    thread = threading.Thread(target=wait, name="last-spans", daemon=True)
    thread.start()

    def end() -> None:
        ends.set()
        thread.join(_REST_S)

    atexit.register(end)


def tracer() -> "Tracer | None":
    """The tracer; None while traces are off."""
    return _on[0] if _on else None


@contextmanager
def appending(stream: str, documents: int) -> Iterator[dict[str, bytes]]:
    """A span around the append of documents; yields the field that carries it on their entries, none while off."""
    if not _on:
        yield {}
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    told: dict[str, str | int] = {
        "messaging.system": "redis", "messaging.destination.name": stream, "messaging.batch.message_count": documents,
    }  # fmt: skip
    with _on[0].start_as_current_span("append", kind=SpanKind.PRODUCER, attributes=told):
        carried: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carried)
        yield {FIELD: carried[FIELD].encode()}


def watch_web(app: "FastAPI", client: "redis.Redis", engine: "Engine") -> None:
    """Trace the web's requests and their calls to Redis and Postgres; statements are recorded without values."""
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    FastAPIInstrumentor.instrument_app(app, excluded_urls=_PRIVATE, exclude_spans=["receive", "send"])
    RedisInstrumentor.instrument_client(client)
    _watch_engine(engine)


def watch_tasks(engine: "Engine | None" = None) -> None:
    """Trace Celery's tasks and, if an engine is given, their calls to Postgres."""
    from opentelemetry.instrumentation.celery import CeleryInstrumentor

    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]
    if engine is not None:
        _watch_engine(engine)


def _watch_engine(engine: Any) -> None:
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

    SQLAlchemyInstrumentor().instrument(engine=engine)
