"""Passwords as they are kept: each is hashed once, for that takes a tenth of a second and 64 MiB."""

from functools import cache

from web.sign_in.passwords import hash_password


@cache
def kept_hash(password: str) -> str:
    """The same hash each time, for people whom a test adds."""
    return hash_password(password)
