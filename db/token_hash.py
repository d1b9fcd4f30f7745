"""What is kept of a random token."""

import hashlib


def hashed(token: str) -> bytes:
    """Sha256 of a random token: all that is kept of it."""
    return hashlib.sha256(token.encode()).digest()
