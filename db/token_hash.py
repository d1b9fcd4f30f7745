"""Hashes of random tokens."""

import hashlib


def hashed(token: str) -> bytes:
    """The sha256 of a random token; only this is stored."""
    return hashlib.sha256(token.encode()).digest()
