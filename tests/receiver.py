"""A real HTTP server on the loopback that keeps what it is sent, and answers as it is told."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
from standardwebhooks import Webhook

Answer = Callable[["Received"], int]


@dataclass
class Received:
    """One request: its headers with small letters, and its body."""

    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.body)["data"]
        return found

    def verify(self, secret: str) -> Any:
        """The message, if it is signed with the secret; raises where it is not."""
        return Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """Listens until it is stopped; ``answer`` gives the status of each request."""

    def __init__(self, answer: Answer = lambda _: 204, headers: dict[str, str] | None = None) -> None:
        self.answer = answer
        self.requests: list[Received] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got = Received({name.lower(): value for name, value in self.headers.items()}, body)
                receiver.requests.append(got)
                status = receiver.answer(got)
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self) -> list[tuple[str, str]]:
        """Id and label of what came, in order."""
        return [(each.data["id"], each.data["label"]) for each in self.requests]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
