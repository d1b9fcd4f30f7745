"""A real server on a free port, in a thread, with real Postgres and Redis behind it."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from sqlalchemy.orm import Session

from db.queries import api_tokens
from sortline.settings import Settings
from web.app import create_app

TOKEN = "a-token-of-the-tests"


@contextmanager
def serving(settings: Settings, token: str | None = TOKEN) -> Iterator[httpx.Client]:
    config = uvicorn.Config(create_app(settings), port=0, log_config=None, server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
        yield client
    server.should_exit = True
    thread.join()


def add_token(session: Session, name: str, token: str, scopes: list[str]) -> None:
    api_tokens.add(session, name, hashlib.sha256(token.encode()).digest(), scopes)
    session.commit()


@pytest.fixture
def web(settings: Settings, session: Session) -> Iterator[httpx.Client]:
    """A client with a token of every scope."""
    add_token(session, "tests", TOKEN, ["documents", "models"])
    with serving(settings) as client:
        yield client


@pytest.fixture
def web_with(settings: Settings, session: Session) -> Callable[..., object]:
    """Serves with some settings changed."""
    add_token(session, "tests", TOKEN, ["documents", "models"])
    return lambda **changed: serving(settings.model_copy(update=changed))


@pytest.fixture
def new_token(session: Session) -> Callable[[str, list[str]], None]:
    """Adds a token that is its own name."""
    return lambda name, scopes: add_token(session, name, name, scopes)
