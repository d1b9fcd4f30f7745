"""Add second factors, known browsers, where sessions come from, tokens' expiry, and audit rows that count.

Existing tokens keep what they may do: upstream decisions, which had no scope of their own, are allowed to those that
may send documents.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _people()
    _tokens()
    op.add_column(
        "audit_events",
        sa.Column("address", sa.Text(), comment="that a request to the web came from; null: it was no such request"),
    )
    op.add_column("audit_events", _time("hour", "of what is counted; null: it happened once"))
    op.add_column("audit_events", sa.Column("times", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.create_index(
        "uq_audit_events_hour", "audit_events", ["hour", "action", "actor", "subject", "address"], unique=True,
        postgresql_where=sa.text("hour IS NOT NULL"),
    )  # fmt: skip


def _people() -> None:
    op.add_column("users", sa.Column("totp_secret", sa.Text(), comment="of the second factor (RFC 6238), in base32"))
    op.add_column("users", _time("totp_since", "null: not confirmed by a code yet, so not asked for"))
    comment = "of the last code that was taken: it and earlier ones are taken no more"
    op.add_column("users", sa.Column("totp_step", sa.BigInteger(), comment=comment))
    for name, comment in (
        ("address", "where it was started from"),
        ("browser", "what the browser called itself then"),
    ):
        op.add_column("user_sessions", sa.Column(name, sa.Text(), server_default="", nullable=False, comment=comment))
    op.add_column(
        "user_sessions", _time("resets_until", "by a link: until then a new password needs no old one; null: it does")
    )
    op.create_table("recovery_codes", _hash("code_hash", "sha256"), _user())
    op.create_index("ix_recovery_codes_user_id", "recovery_codes", ["user_id"])
    op.create_table(
        "sign_in_steps",
        _hash("token_hash", "sha256 of what the form carries"),
        _user(),
        sa.Column("by_link", sa.Boolean(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_sign_in_steps_user_id", "sign_in_steps", ["user_id"])
    op.create_table(
        "known_browsers",
        _hash("token_hash", "sha256 of the cookie's value"),
        _user(primary_key=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.create_index("ix_known_browsers_user_id", "known_browsers", ["user_id"])
    op.add_column(
        "sign_in_failures",
        sa.Column("browser", sa.LargeBinary(), comment="a known browser, which is counted for itself; null: any other"),
    )
    op.alter_column("sign_in_failures", "name", comment="a person's, or the sha256 of one that nobody has")
    op.alter_column("sign_in_failures", "address", comment="of IPv6 the network of 64 bits")
    op.create_index("ix_sign_in_failures_name", "sign_in_failures", ["name", "created_at"])
    op.create_index("ix_sign_in_failures_address", "sign_in_failures", ["address", "created_at"])


def _tokens() -> None:
    op.add_column("api_tokens", _time("expires_at", "null: never"))
    op.add_column("api_tokens", _time("used_at", "last; written once a minute at most"))
    op.alter_column("api_tokens", "scopes", server_default=sa.text("'{documents}'"))
    op.execute("UPDATE api_tokens SET scopes = array_append(scopes, 'reviews') WHERE 'documents' = ANY(scopes)")


def downgrade() -> None:
    op.execute("UPDATE api_tokens SET scopes = array_remove(scopes, 'reviews')")
    op.execute("DELETE FROM audit_events WHERE hour IS NOT NULL")  # without its count the row would be wrong
    op.drop_index("uq_audit_events_hour", "audit_events")
    op.alter_column("api_tokens", "scopes", server_default=sa.text("'{documents,models}'"))
    op.drop_index("ix_sign_in_failures_address", "sign_in_failures")
    op.drop_index("ix_sign_in_failures_name", "sign_in_failures")
    for column in ("name", "address"):
        op.alter_column("sign_in_failures", column, comment=None)
    for table in ("known_browsers", "sign_in_steps", "recovery_codes"):
        op.drop_table(table)
    for table, columns in {
        "audit_events": ("address", "hour", "times"),
        "api_tokens": ("expires_at", "used_at"),
        "users": ("totp_secret", "totp_since", "totp_step"),
        "user_sessions": ("address", "browser", "resets_until"),
        "sign_in_failures": ("browser",),
    }.items():
        for column in columns:
            op.drop_column(table, column)


def _time(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment)


def _hash(name: str, comment: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), primary_key=True, comment=comment)


def _user(primary_key: bool = False) -> sa.Column[int]:
    return sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id"), primary_key=primary_key, nullable=False,
                     autoincrement=False)  # fmt: skip
