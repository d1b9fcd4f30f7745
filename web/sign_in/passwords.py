"""Passwords, kept as Argon2id hashes (RFC 9106) by argon2-cffi with its own parameters.

Each call takes a core and 64 MiB for tens of milliseconds, so routes run them in `web.sign_in.hashing`.
"""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from sortline.errors import InvalidInputError

LEAST, MOST = 12, 1000
_hasher = PasswordHasher()
_NOBODY = _hasher.hash("nobody's password")
# By zxcvbn's estimate (D. L. Wheeler, USENIX Security 2016); with fewer, whoever has the hash finds the password.
_LEAST_GUESSES = 10**8
_MOST_ESTIMATED = 72  # characters; its time grows with their square
_WEAK = (
    "That password is among the first that an attacker tries: a common one, a name, a sequence or a repetition. "
    "Choose a few words that do not belong together."
)


def hash_password(password: str, name: str = "") -> str:
    """The hash to keep.

    Args:
        name: the person's name, on which the password must not be based.

    Raises:
        InvalidInputError: it is too short, longer than anyone types, or easily guessed.
    """
    password = _composed(password)
    if not LEAST <= len(password) <= MOST:
        raise InvalidInputError(f"A password must have at least {LEAST} characters and at most {MOST:,}.")
    known = [word for word in (name, *name.split(), "sortline") if word]
    if zxcvbn(password[:_MOST_ESTIMATED], user_inputs=known)["guesses"] < _LEAST_GUESSES:
        raise InvalidInputError(_WEAK)
    return _hasher.hash(password)


def is_right(password: str, kept: str | None) -> bool:
    """Whether the password matches the hash; without a hash it takes as long and returns False."""
    typed = password[: MOST + 1]
    tried = dict.fromkeys((_composed(typed), typed))  # hashes from before passwords were composed are of what was typed
    return any(_verifies(each, kept or _NOBODY) for each in tried) and kept is not None


def _verifies(password: str, kept: str) -> bool:
    try:
        return _hasher.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


def _composed(password: str) -> str:
    """With composed letters (NFC): some keyboards send é as one character, others as two."""
    return unicodedata.normalize("NFC", password)
