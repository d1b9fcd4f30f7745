"""For machines: is it alive, is it ready, how is it doing."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from db.queries.status import predictions_per_s
from db.session import session
from web.reference import problems
from worker.queue import reaching
from worker.status import line_status

router = APIRouter(tags=["health"])


@router.get("/health/live")
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/health/ready", responses=problems(503))
def ready(request: Request) -> dict[str, str]:
    """Postgres and Redis answer; 503 otherwise."""
    queue = request.app.state.queue
    with reaching(queue.client):
        queue.client.ping()
    with session(request.app.state.settings.postgres_url) as opened:
        predictions_per_s(opened)
    return {"status": "ok"}


@router.get("/metrics", response_class=PlainTextResponse, responses=problems(503))
def metrics(request: Request) -> str:
    """The line's figures in Prometheus' text form."""
    state = request.app.state
    with session(state.settings.postgres_url) as opened:
        found = line_status(opened, state.queue, state.settings)
    lines = [
        *_figure(
            "sortline_backlog", "Entries not done", {f'lane="{n}"': s["backlog"] for n, s in found["lanes"].items()}
        ),
        *_figure(
            "sortline_oldest_seconds",
            "Age of the oldest entry",
            {f'lane="{n}"': s["oldest_s"] or 0 for n, s in found["lanes"].items()},
        ),
        *_figure("sortline_pending", "Entries that workers hold", {"": found["pending"]}),
        *_figure("sortline_dead_letters", "Dead letters not requeued", {"": found["dead"]}),
        *_figure("sortline_predictions_per_second", "Over the last minute", {"": found["rate"]}),
        *_figure("sortline_workers", "Workers heard of", {"": len(found["workers"])}),
        *_figure("sortline_active_model_version", "0: none", {"": found["active_model"] or 0}),
        *_figure(
            "sortline_documents_accepted_total",
            "Documents this process took",
            {f'lane="{n}"': count for n, count in state.accepted.by_lane().items()},
            "counter",
        ),
    ]
    return "\n".join(lines) + "\n"


def _figure(name: str, help_text: str, values: dict[str, float], kind: str = "gauge") -> list[str]:
    rows = [f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in values.items()]
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", *rows]
