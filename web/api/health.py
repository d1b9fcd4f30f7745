"""For monitoring: whether the web is alive and ready, and the metrics."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from db.queries import model_versions
from db.session import session
from sortline.redis_client import reaching
from web.api.reference import problems

router = APIRouter(tags=["health"])


@router.get("/health/live")
def live() -> dict[str, str]:
    """Answers 200 while the process is alive."""
    return {"status": "ok"}


@router.get("/health/ready", responses=problems(503))
def ready(request: Request) -> dict[str, str]:
    """Answers 200 if Postgres and Redis can be reached, 503 otherwise."""
    queue = request.app.state.queue
    with reaching(queue.client):
        queue.client.ping()
    with session(request.app.state.settings.postgres_url) as opened:
        model_versions.active(opened)
    return {"status": "ok"}


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """The metrics of the whole line and of every process, in Prometheus' text format."""
    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_LATEST)
