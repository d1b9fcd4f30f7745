"""A real server on a free port, in a thread, with real Postgres and Redis behind it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest
import uvicorn
from sqlalchemy.orm import Session

from db.models import ApiToken
from db.queries import people
from db.token_hash import hashed
from sortline.settings import Settings
from web.app import create_app
from web.sessions import COOKIE, _csrf

TOKEN = "a-token-of-the-tests"


class Server(uvicorn.Server):
    """Ends as soon as it is told to, where uvicorn's looks for it, and for the end of its connections, every 0.1 s."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    def tell_to_end(self) -> None:
        """From another thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.answers.set()
        while not self._told.is_set():
            await self.on_tick(0)  # the date that answers carry
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in self.servers:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.002)
        await self.lifespan.shutdown()


@contextmanager
def serving(settings: Settings, token: str | None = TOKEN) -> Iterator[httpx.Client]:
    server = Server(uvicorn.Config(create_app(settings), port=0, log_config=None, server_header=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.answers.wait(1):
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        # Plain http needs no certificates, and to load them for each client took a fifth of a test's processor time.
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60, verify=False) as client:
            yield client
    finally:
        server.tell_to_end()
        thread.join()


def add_token(session: Session, name: str, token: str, scopes: list[str]) -> None:
    session.add(ApiToken(name=name, token_hash=hashed(token), scopes=scopes))
    session.commit()


@pytest.fixture
def web(settings: Settings, session: Session) -> Iterator[httpx.Client]:
    """A client with a token of every scope."""
    add_token(session, "tests", TOKEN, ["documents", "reviews", "models"])
    with serving(settings) as client:
        yield client


@pytest.fixture
def web_with(settings: Settings, session: Session) -> Callable[..., object]:
    """Serves with some settings changed."""
    add_token(session, "tests", TOKEN, ["documents", "reviews", "models"])
    return lambda **changed: serving(settings.model_copy(update=changed))


@pytest.fixture
def new_token(session: Session) -> Callable[[str, list[str]], None]:
    """Adds a token that is its own name."""
    return lambda name, scopes: add_token(session, name, name, scopes)


class Browser(httpx.Client):
    """Signed in as somebody. httpx keeps no secure cookie for plain http, as a browser does on its own machine."""

    def __init__(self, base_url: httpx.URL, token: str) -> None:
        super().__init__(base_url=base_url, follow_redirects=True, timeout=60, cookies={COOKIE: token}, verify=False)
        self.csrf = _csrf(token)

    def send_form(self, path: str, headers: dict[str, str] | None = None, **fields: object) -> httpx.Response:
        return self.post(path, data={"csrf": self.csrf, **fields}, headers=headers)


@pytest.fixture
def sign_in_as(web: httpx.Client, session: Session) -> Iterator[Callable[..., Browser]]:
    """Makes a person of a role and a browser that is signed in as them: ``sign_in_as("lead", "ann")``."""
    opened: list[Browser] = []

    def sign_in_as(role: str, name: str = "") -> Browser:
        user = people.add(session, name or role, role, "tests")
        opened.append(Browser(web.base_url, people.sign_in(session, user, "tests")))
        session.commit()
        return opened[-1]

    yield sign_in_as
    for browser in opened:
        browser.close()
