"""Tables: the one place where the shape of the database is written down (migrations follow it)."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    event,
    func,
)
from sqlalchemy import (
    text as sql,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.audit import came_from, tell


class Table(DeclarativeBase):
    """Parent of every table."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: DateTime(timezone=True), dict[str, Any]: JSONB, str: Text}  # noqa: RUF012


def _id(kind: type[BigInteger] | type[Integer] = BigInteger) -> Mapped[int]:
    return mapped_column(kind, Identity(always=False), primary_key=True)


def _now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


class Document(Table):
    """A text a producer sent. An edited text is a new row; the newest has the greatest entry_id."""

    __tablename__ = "documents"

    id: Mapped[int] = _id()
    source: Mapped[str]
    external_id: Mapped[str]
    content_hash: Mapped[bytes] = mapped_column(LargeBinary, comment="sha256 of the text as sent")
    text: Mapped[str]
    repaired: Mapped[bool] = mapped_column(server_default=sql("false"))
    meta: Mapped[dict[str, Any] | None]
    lane: Mapped[str]
    entry_id: Mapped[str | None] = mapped_column(comment="of the last time it was sent; null: imported")
    received_at: Mapped[datetime] = _now()

    __table_args__ = (
        UniqueConstraint("source", "external_id", "content_hash"),
        Index("ix_documents_received_at", "received_at", "id"),
        # What it costs the intake, and why it is there: docs/decisions/0011-search.md
        Index("ix_documents_words", sql("document_words(text)"), postgresql_using="gin"),
    )


class Label(Table):
    """A class that documents are sorted into."""

    __tablename__ = "labels"

    id: Mapped[int] = _id(Integer)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(server_default="", comment="the guideline that reviewers read")
    sensitive: Mapped[bool] = mapped_column(server_default=sql("false"), comment="texts are blurred until clicked")
    archived_at: Mapped[datetime | None]
    merged_into_id: Mapped[int | None] = mapped_column(
        ForeignKey("labels.id"), comment="whose decisions count as that label's"
    )
    retention_days: Mapped[int | None] = mapped_column(
        Integer, comment="how long its documents are kept; 0: for ever; null: as the setting says"
    )

    __table_args__ = (CheckConstraint("retention_days >= 0", name="retention_days"),)


class ModelVersion(Table):
    """A checkpoint that was, is or may become the one that classifies."""

    __tablename__ = "model_versions"

    id: Mapped[int] = _id(Integer)
    status: Mapped[str] = mapped_column(server_default="candidate")
    checkpoint_uri: Mapped[str]
    sha256: Mapped[str] = mapped_column(comment="of the checkpoint's sortline.json, which names all files")
    base_model: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    label_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    report_sha256: Mapped[str | None] = mapped_column(
        comment="of the page of its training's report; null: made before there were such checksums, or there is none"
    )
    created_at: Mapped[datetime] = _now()
    promoted_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("status IN ('candidate', 'active', 'retired', 'rejected')", name="status"),
        Index("uq_model_versions_active", "status", unique=True, postgresql_where=sql("status = 'active'")),
    )


class Shadow(Table):
    """A version that answers beside the active one for a while; its predictions are of the kind shadow."""

    __tablename__ = "shadows"

    id: Mapped[int] = _id(Integer)
    model_version_id: Mapped[int] = mapped_column(ForeignKey("model_versions.id"))
    share: Mapped[float] = mapped_column(REAL, comment="of the documents that are classified meanwhile")
    started_at: Mapped[datetime] = _now()
    started_by: Mapped[str]
    ended_at: Mapped[datetime | None]
    ended_because: Mapped[str | None]
    looked_to: Mapped[int] = mapped_column(BigInteger, comment="the last document that was gone past")
    trouble: Mapped[str | None] = mapped_column(comment="why it does not answer")
    held_by: Mapped[str | None] = mapped_column(comment="the worker that is at it")
    held_until: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("share > 0 AND share <= 1", name="share"),
        Index("uq_shadows_open", sql("(true)"), unique=True, postgresql_where=sql("ended_at IS NULL")),
    )


class Prediction(Table):
    """What a model version said of a document.

    Only the document has a foreign key: each one is a look-up a row on the hot path, and model versions
    and labels are never deleted.
    """

    __tablename__ = "predictions"

    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), primary_key=True, autoincrement=False)
    model_version_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(primary_key=True, comment="live, rescore or shadow")
    label_id: Mapped[int] = mapped_column(Integer)
    confidence: Mapped[float] = mapped_column(REAL)
    probabilities: Mapped[list[float]] = mapped_column(ARRAY(REAL), comment="in the order of label_ids")
    decision: Mapped[str] = mapped_column(comment="accept or review")
    windows: Mapped[int] = mapped_column(SmallInteger, server_default=sql("1"))
    truncated: Mapped[bool] = mapped_column(server_default=sql("false"))
    unknown_share: Mapped[float | None] = mapped_column(
        REAL, comment="of the characters that the model can't read, where it is over a tenth"
    )
    created_at: Mapped[datetime] = _now()

    __table_args__ = (
        CheckConstraint("kind IN ('live', 'rescore', 'shadow')", name="kind"),
        CheckConstraint("decision IN ('accept', 'review')", name="decision"),
        # Summarised as it grows: ranges that are not are all read by whoever asks for the last minute.
        Index(
            "ix_predictions_created_at",
            "created_at",
            postgresql_using="brin",
            postgresql_with={"autosummarize": True},
        ),
        Index("ix_predictions_label_id", "label_id", "document_id"),
        Index("ix_predictions_shadow", "model_version_id", "document_id", postgresql_where=sql("kind = 'shadow'")),
    )


class AnswerCount(Table):
    """How many live predictions a version made in a day of UTC, counted by housekeeping; what is erased stays counted.

    Left out are predictions on documents that were decided before: they are in no audit's draw.
    """

    __tablename__ = "answer_counts"

    day: Mapped[date] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    label_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    decision: Mapped[str] = mapped_column(primary_key=True, comment="accept or review")
    documents: Mapped[int] = mapped_column(BigInteger)
    confidence: Mapped[float] = mapped_column(Double, comment="the sum of theirs")


class AccuracyLook(Table):
    """What audits told of a version on a day, of the four weeks before its midnight (UTC), and whether that alarms."""

    __tablename__ = "accuracy_looks"

    day: Mapped[date] = mapped_column(primary_key=True)
    model_version_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    answers: Mapped[int] = mapped_column(BigInteger)
    drawn: Mapped[int] = mapped_column(Integer)
    decided: Mapped[int] = mapped_column(Integer, comment="of those drawn")
    accuracy: Mapped[float | None] = mapped_column(Double, comment="null: nothing was decided")
    low: Mapped[float] = mapped_column(Double, comment="of the 95 % interval")
    high: Mapped[float] = mapped_column(Double)
    expected: Mapped[float | None] = mapped_column(Double, comment="the mean confidence; null: nothing was answered")
    alarm: Mapped[bool]


class Explanation(Table):
    """Which words of a document speak for a label, in the eyes of a model version; asked for, then computed once."""

    __tablename__ = "explanations"

    document_id: Mapped[int] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    model_version_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    label_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(server_default="waiting")
    found: Mapped[dict[str, Any] | None] = mapped_column(
        comment="words by their place in the text, as classifier.explain gives them"
    )
    completeness_error: Mapped[float | None] = mapped_column(REAL)
    error: Mapped[str | None]
    asked_at: Mapped[datetime] = _now()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'running', 'done', 'failed')", name="state"),
        Index("ix_explanations_model_version_id_label_id", "model_version_id", "label_id", "document_id"),
        Index("ix_explanations_waiting", "asked_at", postgresql_where=sql("state = 'waiting'")),
    )


class User(Table):
    """A person, the reviewer `import` that stands for labelled files, or one of an upstream system's own people."""

    __tablename__ = "users"

    id: Mapped[int] = _id(Integer)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    password_hash: Mapped[str | None] = mapped_column(comment="Argon2id; null: signs in by a link only")
    totp_secret: Mapped[str | None] = mapped_column(comment="of the second factor (RFC 6238), in base32")
    totp_since: Mapped[datetime | None] = mapped_column(comment="null: not confirmed by a code yet, so not asked for")
    totp_step: Mapped[int | None] = mapped_column(
        BigInteger, comment="of the last code that was taken: it and earlier ones are taken no more"
    )
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = _now()

    __table_args__ = (CheckConstraint("role IN ('import', 'upstream', 'reviewer', 'lead', 'admin')", name="role"),)


class UserSession(Table):
    """A person who is signed in, in one browser."""

    __tablename__ = "user_sessions"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="sha256 of the cookie's value")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = _now()
    seen_at: Mapped[datetime] = _now()
    address: Mapped[str] = mapped_column(server_default="", comment="where it was started from")
    browser: Mapped[str] = mapped_column(server_default="", comment="what the browser called itself then")
    resets_until: Mapped[datetime | None] = mapped_column(
        comment="by a link: until then a new password needs no old one; null: it does"
    )


class RecoveryCode(Table):
    """What stands in for a code of the second factor, once."""

    __tablename__ = "recovery_codes"

    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="sha256")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)


class SignInStep(Table):
    """A person who gave the first factor and has not given the second one yet."""

    __tablename__ = "sign_in_steps"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="sha256 of what the form carries")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    by_link: Mapped[bool]
    expires_at: Mapped[datetime]


class KnownBrowser(Table):
    """A browser that a person signed in with before: its wrong passwords are counted apart from everybody else's."""

    __tablename__ = "known_browsers"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="sha256 of the cookie's value")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True, autoincrement=False, index=True)
    seen_at: Mapped[datetime] = _now()


class SignInLink(Table):
    """A link that signs a person in once."""

    __tablename__ = "sign_in_links"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="sha256 of what the link carries")
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    expires_at: Mapped[datetime]


class SignInFailure(Table):
    """A password or code that is being checked, or was wrong: too many of them, and none is checked for a while."""

    __tablename__ = "sign_in_failures"

    id: Mapped[int] = _id()
    name: Mapped[str] = mapped_column(comment="a person's, or the sha256 of one that nobody has")
    address: Mapped[str] = mapped_column(comment="of IPv6 the network of 64 bits")
    browser: Mapped[bytes | None] = mapped_column(
        LargeBinary, comment="a known browser, which is counted for itself; null: any other"
    )
    created_at: Mapped[datetime] = _now()

    __table_args__ = (
        Index("ix_sign_in_failures_created_at", "created_at"),
        Index("ix_sign_in_failures_name", "name", "created_at"),
        Index("ix_sign_in_failures_address", "address", "created_at"),
    )


class Review(Table):
    """What a person did with a document; append-only, a later row supersedes an earlier one."""

    __tablename__ = "reviews"

    id: Mapped[int] = _id()
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), index=True)
    reviewer_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str]
    label_id: Mapped[int | None] = mapped_column(ForeignKey("labels.id"))
    shown_prediction: Mapped[dict[str, Any] | None]
    reason: Mapped[str]
    sampling_probability: Mapped[float | None] = mapped_column(REAL)
    seconds: Mapped[float | None] = mapped_column(REAL)
    note: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    supersedes_id: Mapped[int | None] = mapped_column(ForeignKey("reviews.id"))
    proposed_label: Mapped[str | None] = mapped_column(comment="where none fits: a new label that would")
    lease_token: Mapped[int | None] = mapped_column(BigInteger, comment="of the desk; a lease gives one decision")
    selected_at: Mapped[datetime | None] = mapped_column(
        comment="since when the document waited for it; null: it did not wait at the desk"
    )

    __table_args__ = (
        CheckConstraint("action IN ('confirm', 'correct', 'skip', 'none_fits', 'undo')", name="action"),
        Index("ix_reviews_reviewer_id", "reviewer_id", "id"),
        Index("ix_reviews_label_id", "label_id", "document_id", postgresql_where=sql("label_id IS NOT NULL")),
        Index("ix_reviews_proposed_label", "id", postgresql_where=sql("proposed_label IS NOT NULL")),
        Index("uq_reviews_lease_token", "lease_token", unique=True, postgresql_where=sql("lease_token IS NOT NULL")),
        Index("ix_reviews_supersedes_id", "supersedes_id", postgresql_where=sql("supersedes_id IS NOT NULL")),
        Index("ix_reviews_audited", "created_at", postgresql_where=sql("sampling_probability IS NOT NULL")),
        Index(
            "ix_reviews_created_at", "created_at", postgresql_using="brin", postgresql_with={"autosummarize": True}
        ),
        Index(
            "ix_reviews_again", "reason", "created_at", postgresql_where=sql("reason IN ('overlap', 'repeat')")
        ),
    )  # fmt: skip


class QueueItem(Table):
    """A document that waits for a person, and why.

    Reasons: doubtful, audit, flag, label_error, drift, shadow (another version answers otherwise); overlap (a second
    person decides, for agreement) and repeat (the same person decides again).
    """

    __tablename__ = "queue_items"

    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), primary_key=True, autoincrement=False)
    reason: Mapped[str]
    score: Mapped[float] = mapped_column(
        REAL, comment="least first: the margin of the likeliest two labels, or the quality of a label in doubt"
    )
    model_version_id: Mapped[int | None] = mapped_column(
        Integer, comment="the version whose prediction the score is of; null: a label in doubt, no prediction"
    )
    label_id: Mapped[int | None] = mapped_column(Integer, comment="the label predicted, or suggested")
    sampling_probability: Mapped[float | None] = mapped_column(REAL)
    note: Mapped[str | None] = mapped_column(comment="what who put it here says of it")
    selected_at: Mapped[datetime] = _now()
    turn: Mapped[int] = mapped_column(
        SmallInteger, server_default=sql("0"), comment="before the score: how often it was put off"
    )
    only_for: Mapped[int | None] = mapped_column(Integer, comment="the one user who may decide it")
    not_for: Mapped[int | None] = mapped_column(Integer, comment="the one user who may not")
    not_before: Mapped[datetime | None]
    lease_token: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    lease_until: Mapped[datetime | None]
    leased_to: Mapped[int | None] = mapped_column(Integer, comment="a user")
    shown: Mapped[dict[str, Any] | None] = mapped_column(comment="the prediction that the lease shows; null: hidden")

    __table_args__ = (
        CheckConstraint(
            "reason IN ('doubtful', 'audit', 'label_error', 'drift', 'flag', 'overlap', 'repeat', 'shadow')",
            name="reason",
        ),
        Index("ix_queue_items_reason_turn", "reason", "turn", "score", "document_id"),
        Index(
            "ix_queue_items_doubtful", "label_id", "turn", "score", "document_id",
            postgresql_where=sql("reason = 'doubtful'"),
        ),
        Index("ix_queue_items_leased_to", "leased_to", postgresql_where=sql("leased_to IS NOT NULL")),
        Index("ix_queue_items_model_version_id", "model_version_id", "document_id"),
    )  # fmt: skip


class ImportFile(Table):
    """A file that a person looks at before it is imported; kept for an hour at most."""

    __tablename__ = "import_files"

    token_hash: Mapped[bytes] = mapped_column(
        LargeBinary, primary_key=True, comment="sha256 of what the preview's form carries"
    )
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = _now()


class IdempotencyKey(Table):
    """A request that may come again, and what was answered to it; kept for a day."""

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(primary_key=True, comment="a token's or a person's name, as the audit has it")
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary, comment="sha256 of what was asked")
    answer: Mapped[dict[str, Any] | None] = mapped_column(comment="what is answered to it again")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class BulkDecision(Table):
    """Documents that a person decides at once: looked at first, then decided, perhaps undone."""

    __tablename__ = "bulk_decisions"

    id: Mapped[int] = _id(Integer)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    label_id: Mapped[int | None] = mapped_column(ForeignKey("labels.id"), comment="null: to each what was predicted")
    filters: Mapped[dict[str, Any]] = mapped_column(comment="the query string that found them")
    document_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), comment="what was looked at, and no other")
    label_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer), comment="what each is given, in the same order")
    looked_at: Mapped[dict[str, Any]] = mapped_column(comment="how many were found, and why some are left out")
    created_at: Mapped[datetime] = _now()
    decided_at: Mapped[datetime | None]
    review_ids: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    waited: Mapped[dict[str, Any] | None] = mapped_column(comment="why each waited, by document id; an undo needs it")
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class DocumentSplit(Table):
    """Near-duplicate group and split of a labelled document: stored when first assigned, never recomputed."""

    __tablename__ = "document_splits"

    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"), primary_key=True)
    group_id: Mapped[int] = mapped_column(BigInteger, index=True, comment="id of the group's first document")
    split: Mapped[str]
    forced: Mapped[bool] = mapped_column(server_default=sql("false"), comment="set by import --split")
    assigned_at: Mapped[datetime] = _now()

    __table_args__ = (
        CheckConstraint("split IN ('train', 'validation', 'calibration', 'test', 'left_out')", name="split"),
    )


class Snapshot(Table):
    """Ids, labels, splits and text hashes of one training run, kept as a file in the model store."""

    __tablename__ = "snapshots"

    id: Mapped[int] = _id(Integer)
    uri: Mapped[str]
    sha256: Mapped[str]
    counts: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = _now()


class SnapshotReview(Table):
    """A decision that is in a snapshot: which decisions made a model, and which models a decision made."""

    __tablename__ = "snapshot_reviews"

    snapshot_id: Mapped[int] = mapped_column(ForeignKey("snapshots.id"), primary_key=True, autoincrement=False)
    review_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, index=True)
    split: Mapped[str]


class TrainingRun(Table):
    """One training, from its start to its verdict."""

    __tablename__ = "training_runs"

    id: Mapped[int] = _id(Integer)
    state: Mapped[str] = mapped_column(server_default="waiting")
    reason: Mapped[str] = mapped_column(comment="why it was started")
    parameters: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    progress: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshots.id"))
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    error: Mapped[str | None]
    lease_token: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"), comment="processes that took it up")
    newest_review_id: Mapped[int | None] = mapped_column(BigInteger, comment="the newest decision when it was frozen")
    heartbeat_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = _now()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'running', 'done', 'failed', 'cancelled')", name="state"),
        Index(
            "uq_training_runs_open",
            sql("(true)"),
            unique=True,
            postgresql_where=sql("state IN ('waiting', 'running')"),
        ),
    )


class TunedParameters(Table):
    """The best parameters of a tuning study that beat what was used before; the newest row is used."""

    __tablename__ = "tuned_parameters"

    id: Mapped[int] = _id(Integer)
    study: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    macro_f1: Mapped[float] = mapped_column(REAL, comment="on validation")
    untuned_macro_f1: Mapped[float] = mapped_column(REAL, comment="of what was used before, on the same documents")
    trials: Mapped[int] = mapped_column(Integer)
    report_uri: Mapped[str]
    created_at: Mapped[datetime] = _now()


class OutboxEvent(Table):
    """An event that leaves after the transaction that caused it; swept by beat, in order per document."""

    __tablename__ = "outbox"

    id: Mapped[int] = _id()
    document_id: Mapped[int | None] = mapped_column(ForeignKey("documents.id"))
    event: Mapped[dict[str, Any]] = mapped_column(comment="the fields of the results stream")
    created_at: Mapped[datetime] = _now()
    next_attempt_at: Mapped[datetime] = _now()
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    sent_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_outbox_unsent", "id", postgresql_where=sql("sent_at IS NULL")),
        Index("ix_outbox_document_id", "document_id"),
    )


class Webhook(Table):
    """An address that events are sent to, signed in the Standard Webhooks form."""

    __tablename__ = "webhooks"

    id: Mapped[int] = _id(Integer)
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]
    secret: Mapped[str] = mapped_column(comment="whsec_...; in the clear, because it signs")
    previous_secret: Mapped[str | None]
    previous_until: Mapped[datetime | None] = mapped_column(comment="until then the previous secret signs too")
    sources: Mapped[list[str] | None] = mapped_column(ARRAY(Text), comment="null: all")
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = _now()
    paused_at: Mapped[datetime | None]
    paused_because: Mapped[str | None]
    failures: Mapped[int] = mapped_column(
        Integer, server_default=sql("0"), comment="rounds without a success, in a row"
    )
    failing_since: Mapped[datetime | None]
    last_error: Mapped[str | None]
    last_success_at: Mapped[datetime | None]
    retry_at: Mapped[datetime] = mapped_column(server_default=func.now(), comment="not tried before")
    held_until: Mapped[datetime | None] = mapped_column(comment="by the process that sends to it now")

    @property
    def state(self) -> str:
        """In a word: paused, failing or active."""
        if self.paused_at is not None:
            return "paused"
        return "failing" if self.failures else "active"


class WebhookDelivery(Table):
    """An event on its way to a webhook; written in the transaction that caused it.

    A webhook has no foreign key, so that removing one never refuses a document's transaction.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[int] = _id()
    webhook_id: Mapped[int] = mapped_column(Integer)
    document_id: Mapped[int | None] = mapped_column(
        ForeignKey("documents.id", ondelete="CASCADE"), index=True, comment="null: of a dead letter"
    )
    source: Mapped[str]
    external_id: Mapped[str]
    event: Mapped[dict[str, Any]] = mapped_column(comment="the fields of the results stream")
    state: Mapped[str] = mapped_column(server_default="waiting")
    created_at: Mapped[datetime] = _now()
    next_attempt_at: Mapped[datetime] = _now()
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=sql("0"))
    give_up_at: Mapped[datetime | None] = mapped_column(comment="set by the first failure")
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'delivered', 'dead')", name="state"),
        Index("ix_webhook_deliveries_waiting", "webhook_id", "id", postgresql_where=sql("state = 'waiting'")),
        Index("ix_webhook_deliveries_ended", "ended_at", postgresql_where=sql("state <> 'waiting'")),
        Index("ix_webhook_deliveries_document", "source", "external_id", "webhook_id", "id"),
    )


class DeadLetter(Table):
    """An entry that could not be classified, as it was sent, and why."""

    __tablename__ = "dead_letters"

    id: Mapped[int] = _id()
    lane: Mapped[str]
    entry_id: Mapped[str]
    source: Mapped[str | None]
    external_id: Mapped[str | None]
    reason: Mapped[str]
    detail: Mapped[str]
    raw: Mapped[bytes] = mapped_column(LargeBinary, comment="the entry's fields, as sortline.queue packs them")
    attempts: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = _now()
    requeued_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("lane", "entry_id"),
        Index("ix_dead_letters_source_external_id", "source", "external_id"),
        Index("ix_dead_letters_reason", "reason", "id", postgresql_where=sql("requeued_at IS NULL")),
    )


class Erasure(Table):
    """A document's name that was erased on request: what was sent under it before does not come back."""

    __tablename__ = "erasures"

    name_hash: Mapped[bytes] = mapped_column(
        LargeBinary, primary_key=True, comment="sha256 of source and id, the source's length before them"
    )
    erased_at: Mapped[datetime] = _now()
    before: Mapped[dict[str, Any]] = mapped_column(comment="the last entry id of live, bulk and results then")
    swept_at: Mapped[datetime | None] = mapped_column(comment="when streams and reports were found clear of it")

    __table_args__ = (Index("ix_erasures_unswept", "erased_at", postgresql_where=sql("swept_at IS NULL")),)


class ErasedCount(Table):
    """How many documents are gone, so that statistics can count them still."""

    __tablename__ = "erased_counts"

    id: Mapped[int] = _id()
    month: Mapped[date] = mapped_column(comment="in which they were received")
    label_id: Mapped[int | None] = mapped_column(Integer, comment="what was said of them last; null: nothing")
    split: Mapped[str | None]
    reason: Mapped[str] = mapped_column(comment="request or retention")
    documents: Mapped[int] = mapped_column(BigInteger)
    predictions: Mapped[int] = mapped_column(BigInteger)
    reviews: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint("reason IN ('request', 'retention')", name="reason"),
        UniqueConstraint("month", "label_id", "split", "reason", postgresql_nulls_not_distinct=True),
    )


class ApiToken(Table):
    """A bearer token of the HTTP door; only its sha256 is kept."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = _id(Integer)
    name: Mapped[str] = mapped_column(unique=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String), server_default=sql("'{documents}'"))
    created_at: Mapped[datetime] = _now()
    expires_at: Mapped[datetime | None] = mapped_column(comment="null: never")
    used_at: Mapped[datetime | None] = mapped_column(comment="last; written once a minute at most")
    revoked_at: Mapped[datetime | None]


class AuditEvent(Table):
    """Who changed what, and when; append-only, but for what was refused, which is counted by the hour."""

    __tablename__ = "audit_events"

    id: Mapped[int] = _id()
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    created_at: Mapped[datetime] = _now()
    address: Mapped[str | None] = mapped_column(
        default=lambda: came_from.get(),  # noqa: PLW0108 SQLAlchemy asks for its arguments
        comment="that a request to the web came from; null: it was no such request",
    )
    hour: Mapped[datetime | None] = mapped_column(comment="of what is counted; null: it happened once")
    times: Mapped[int] = mapped_column(Integer, server_default=sql("1"))

    __table_args__ = (
        Index(
            "uq_audit_events_hour", "hour", "action", "actor", "subject", "address", unique=True,
            postgresql_where=sql("hour IS NOT NULL"),
        ),
    )  # fmt: skip


event.listen(AuditEvent, "after_insert", tell)


class DriftReference(Table):
    """What a model version said of held-out documents of its snapshot: what traffic is compared with.

    Ids alone: a text that is erased is gone from here too.
    """

    __tablename__ = "drift_references"

    model_version_id: Mapped[int] = mapped_column(
        ForeignKey("model_versions.id"), primary_key=True, autoincrement=False
    )
    training_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), comment="documents it was trained on, a sample")
    document_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), comment="held-out documents, a sample")
    label_ids: Mapped[list[int]] = mapped_column(ARRAY(Integer), comment="predicted, of document_ids")
    confidences: Mapped[list[float]] = mapped_column(ARRAY(REAL), comment="of document_ids")


class DriftLook(Table):
    """A look for drift and what came of it; without an end after half an hour its process has died."""

    __tablename__ = "drift_looks"

    id: Mapped[int] = _id(Integer)
    began_at: Mapped[datetime] = _now()
    ended_at: Mapped[datetime | None]
    failed: Mapped[bool] = mapped_column(server_default=sql("false"))
    said: Mapped[str | None] = mapped_column(comment="what came of it, for people")


class Incident(Table):
    """Something that people must look at, from its alarm to its end; one of a kind is open at most."""

    __tablename__ = "incidents"

    id: Mapped[int] = _id(Integer)
    kind: Mapped[str]
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_versions.id"))
    statistic: Mapped[float] = mapped_column(REAL, comment="of drift: by how much a share moved, beyond doubt")
    evidence: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    opened_at: Mapped[datetime] = _now()
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    closed_because: Mapped[str | None]

    __table_args__ = (Index("uq_incidents_open", "kind", unique=True, postgresql_where=sql("closed_at IS NULL")),)
