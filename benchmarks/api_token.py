"""The token with which documents are sent over HTTP."""

import hashlib

from benchmarks.stack import Stack
from db.queries import api_tokens
from db.session import session

TOKEN = "a-token-of-the-benchmark"


def add_token(made: Stack) -> None:
    """Let the token send documents to a stack."""
    with session(made.settings.postgres_url) as opened:
        api_tokens.add(opened, "benchmark", hashlib.sha256(TOKEN.encode()).digest(), ["documents"], "benchmark")
        opened.commit()
