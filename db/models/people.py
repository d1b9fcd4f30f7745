"""People, and how they sign in."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, LargeBinary
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import Table, now, row_id


class User(Table):
    """A person here, a person of an upstream system, or the reviewer `import`, which stands for labelled files."""

    __tablename__ = "users"

    id: Mapped[int] = row_id(Integer)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    password_hash: Mapped[str | None] = mapped_column(comment="Argon2id; null: signs in by a link only")
    totp_secret: Mapped[str | None] = mapped_column(comment="of the second factor (RFC 6238), in base32")
    totp_since: Mapped[datetime | None] = mapped_column(comment="null: not confirmed by a code yet, so not asked for")
    totp_step: Mapped[int | None] = mapped_column(
        BigInteger, comment="of the last code that was taken: it and earlier ones are taken no more"
    )
    disabled_at: Mapped[datetime | None]
    hides_first_steps: Mapped[bool] = mapped_column(
        server_default=sql("false"), comment="whether they no longer want the list of first steps after signing in"
    )
    created_at: Mapped[datetime] = now()

    __table_args__ = (CheckConstraint("role IN ('import', 'upstream', 'reviewer', 'lead', 'admin')", name="role"),)


class UserSession(Table):
    """A person's session in one browser."""

    __tablename__ = "user_sessions"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="sha256 of the cookie's value")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = now()
    seen_at: Mapped[datetime] = now()
    address: Mapped[str] = mapped_column(server_default="", comment="where it was started from")
    browser: Mapped[str] = mapped_column(server_default="", comment="what the browser called itself then")
    resets_until: Mapped[datetime | None] = mapped_column(
        comment="by a link: until then a new password needs no old one; null: it does"
    )


class RecoveryCode(Table):
    """A code that replaces a code of the second factor once."""

    __tablename__ = "recovery_codes"

    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="sha256")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)


class SignInStep(Table):
    """A person who has given the first factor but not yet the second."""

    __tablename__ = "sign_in_steps"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="sha256 of what the form carries")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    by_link: Mapped[bool]
    expires_at: Mapped[datetime]


class KnownBrowser(Table):
    """A browser in which a person signed in before; its wrong passwords are counted separately."""

    __tablename__ = "known_browsers"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="sha256 of the cookie's value")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True, autoincrement=False, index=True)
    seen_at: Mapped[datetime] = now()


class SignInLink(Table):
    """A link that signs a person in once."""

    __tablename__ = "sign_in_links"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="sha256 of what the link carries")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    expires_at: Mapped[datetime]


class SignInFailure(Table):
    """A password or code that is being checked or was wrong; after too many, none is checked for a while."""

    __tablename__ = "sign_in_failures"

    id: Mapped[int] = row_id()
    name: Mapped[str] = mapped_column(comment="a person's, or the sha256 of one that nobody has")
    address: Mapped[str] = mapped_column(comment="of IPv6 the network of 64 bits")
    browser: Mapped[bytes | None] = mapped_column(
        LargeBinary, comment="a known browser, which is counted for itself; null: any other"
    )
    created_at: Mapped[datetime] = now()

    __table_args__ = (
        Index("ix_sign_in_failures_created_at", "created_at"),
        Index("ix_sign_in_failures_name", "name", "created_at"),
        Index("ix_sign_in_failures_address", "address", "created_at"),
    )
