"""The web application: documents over HTTP, and the pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.routing import Route

from db.connection import get_engine
from sortline import __version__, traces
from sortline.metrics import Publisher
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings, get_settings
from web.accuracy import routes as accuracy
from web.addresses import CameFrom
from web.api import documents, health, reviews, risk_target, similar, training
from web.api import model_versions as models
from web.api.metrics import Line
from web.api.tokens import Tokens
from web.api.waiting import Waiting
from web.desk import routes as desk
from web.documents import routes as document_pages
from web.explanations import routes as explanations
from web.first_steps import routes as first_steps
from web.headers import AllowedHosts, SafeHeaders
from web.imports import routes as import_pages
from web.imports.uploads import Uploads
from web.labels import belonging
from web.labels import routes as label_pages
from web.likeness import routes as likeness_pages
from web.limits import BodyLimit, Drained
from web.line import audit as audit_pages
from web.line import dead_letters as dead_pages
from web.line import incidents
from web.line import routes as pages
from web.line import webhooks as webhook_pages
from web.line.glance import Glance
from web.links import UnderPath, check_web_path
from web.model_versions import routes as model_pages
from web.problems import add_problems
from web.refusals import Refusals
from web.sign_in import account, second_factor_pages
from web.sign_in import routes as people
from web.sign_in.hashing import Hashing
from web.team import routes as team
from web.topics import routes as topic_pages

ROUTES = (
    reviews, similar, documents, models, risk_target, training, health, pages, people, account, second_factor_pages,
    model_pages, desk, topic_pages, document_pages, likeness_pages, label_pages, belonging, dead_pages,
    import_pages, explanations, team, webhook_pages, incidents, accuracy, audit_pages, first_steps,
)  # fmt: skip


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; connections are opened when they are first needed."""
    settings = settings or get_settings()
    publisher = Publisher(settings.redis, settings.prefix, "web")
    refusals, hashing = Refusals(settings.postgres_url), Hashing()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        publisher.start()
        refusals.start()
        yield
        hashing.stop()
        refusals.stop()
        publisher.stop()

    app = FastAPI(
        title="Sortline",
        version=__version__,
        summary="Documents in, labels with honest confidences out, nothing lost.",
        docs_url=None,  # the stock page loads scripts from another host; ours is web/line/routes.py
        redoc_url=None,
        redirect_slashes=False,  # ids may end in one
        servers=[{"url": settings.web_path}] if settings.web_path else None,
        root_path_in_servers=False,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.queue = DocumentQueue(connect(settings.redis), settings)
    app.state.glance = Glance(settings, app.state.queue)
    app.state.metrics = CollectorRegistry(auto_describe=False)
    app.state.metrics.register(Line(settings, publisher))
    app.state.refusals = refusals
    app.state.hashing = hashing
    app.state.tokens = Tokens(settings.postgres_url)
    app.state.waiting = Waiting(settings.postgres_url, settings.redis, settings.results_stream)
    app.state.uploads = Uploads(settings)
    add_problems(app)
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes)
    app.add_middleware(Drained, limit=settings.max_body_bytes)
    app.add_middleware(CameFrom)
    # As they stand: `include_router` would make each of them anew, up to 80 ms of an application's first requests.
    app.router.routes.extend(route for each in ROUTES for route in each.router.routes)
    routes = [route for each in ROUTES for route in each.router.routes if isinstance(route, Route)]
    app.state.routes = routes
    check_web_path(settings.web_path, {app.openapi_url or "", *(route.path for route in routes)})
    app.add_middleware(UnderPath, path=settings.web_path)
    app.add_middleware(AllowedHosts, hosts=settings.hosts)
    # The last one added is the outermost.
    app.add_middleware(SafeHeaders, tls=settings.web_address.startswith("https:"))
    if traces.set_up(settings.traces_url, "web"):
        traces.watch_web(app, app.state.queue.client, get_engine(settings.postgres_url))
    return app
