"""Passwords, kept as Argon2id hashes (RFC 9106) by argon2-cffi with its own parameters."""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from sortline.errors import InvalidInputError

LEAST, MOST = 12, 1000
_hasher = PasswordHasher()
_NOBODY = _hasher.hash("nobody's password")
# A hash takes 64 MiB and a core for tens of milliseconds: however many try at once, two are computed.
_at_once = threading.BoundedSemaphore(2)


def hash_password(password: str) -> str:
    """The hash to keep.

    Raises:
        InvalidInputError: it is too short, or longer than anyone types.
    """
    if not LEAST <= len(password) <= MOST:
        raise InvalidInputError(f"A password has at least {LEAST} characters, and at most {MOST:,}.")
    with _at_once:
        return _hasher.hash(password)


def is_right(password: str, kept: str | None) -> bool:
    """Whether the password is the one; without a hash it takes as long and is not."""
    with _at_once:
        try:
            _hasher.verify(kept or _NOBODY, password[: MOST + 1])
        except (VerificationError, InvalidHashError):
            return False
    return kept is not None
