"""The second factor: time-based codes from a person's device (TOTP, RFC 6238), and recovery codes."""

import base64
import hmac
import secrets
import time
import unicodedata

import pyotp
import segno
from markupsafe import Markup
from sqlalchemy.orm import Session

from db.models import User
from db.queries import second_factors

_PERIOD_S = 30
_DRIFT = 1  # steps that a device's clock may be off, in either direction
_RECOVERY_CODES, _RECOVERY_BYTES = 10, 10
_LIGHT, _DARK = "#fff", "#000"


def new_secret() -> str:
    """A secret of 160 random bits, in base32."""
    return pyotp.random_base32()


def new_recovery_codes() -> list[str]:
    """Codes of 80 random bits each, such as `abcd-efgh-ijkl-mnop`."""
    made = [base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower() for _ in range(_RECOVERY_CODES)]
    return ["-".join(code[i : i + 4] for i in range(0, len(code), 4)) for code in made]


def take(opened: Session, user: User, code: str) -> bool:
    """Use up a code from the device or a recovery code; each is right once. The caller commits."""
    plain = "".join(str(unicodedata.decimal(each, each)) for each in "".join(code.split()).replace("-", "").lower())
    if plain.isascii() and plain.isdecimal():
        step = step_of(user.totp_secret or "", plain, time.time())
        return step is not None and second_factors.take_step(opened, user.id, step)
    dashed = "-".join(plain[i : i + 4] for i in range(0, len(plain), 4))
    return user.totp_since is not None and second_factors.take_code(opened, user.id, dashed)


def step_of(secret: str, code: str, now: float) -> int | None:
    """The time step (30 s) of the code, at most one step from now; None if it is the code of none of them."""
    if not secret:
        return None
    this = int(now) // _PERIOD_S
    totp = pyotp.TOTP(secret, interval=_PERIOD_S)
    found = [
        step
        for step in range(this - _DRIFT, this + _DRIFT + 1)
        if hmac.compare_digest(totp.at(step * _PERIOD_S).encode(), code.encode())
    ]
    return max(found, default=None)


def picture(secret: str, name: str) -> Markup:
    """A QR code for authenticator apps, as inline SVG; it stays dark on light in any colour scheme."""
    address = pyotp.TOTP(secret, interval=_PERIOD_S).provisioning_uri(name=name, issuer_name="Sortline")
    made = segno.make(address, error="m", micro=False)
    drawn = made.svg_inline(scale=5, dark=_DARK, light=_LIGHT, title="QR code of the secret", omitsize=True)
    return Markup(drawn)  # noqa: S704 segno escapes what it is given, and draws the rest
