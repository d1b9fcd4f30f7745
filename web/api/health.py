"""For machines: is it alive, is it ready, how is it doing."""

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
    """The process answers."""
    return {"status": "ok"}


@router.get("/health/ready", responses=problems(503))
def ready(request: Request) -> dict[str, str]:
    """Postgres and Redis answer; 503 otherwise."""
    queue = request.app.state.queue
    with reaching(queue.client):
        queue.client.ping()
    with session(request.app.state.settings.postgres_url) as opened:
        model_versions.active(opened)
    return {"status": "ok"}


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """The figures of the whole line, every process's too, in Prometheus' text form."""
    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_LATEST)
