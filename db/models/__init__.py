"""Tables: the only definition of the database's schema, which migrations follow."""

from db.models.documents import DeadLetter, Document, ErasedCount, Erasure
from db.models.events import OutboxEvent, Webhook, WebhookDelivery
from db.models.model_versions import ModelForm, ModelVersion, Shadow
from db.models.monitoring import AccuracyLook, DriftLook, DriftReference, Incident
from db.models.people import KnownBrowser, RecoveryCode, SignInFailure, SignInLink, SignInStep, User, UserSession
from db.models.predictions import AnswerCount, Explanation, Prediction
from db.models.requests import ApiToken, AuditEvent, IdempotencyKey, ImportFile
from db.models.reviews import BulkDecision, Label, QueueItem, Review
from db.models.search import SearchIndex, SearchPending
from db.models.table import Table
from db.models.training import DocumentSplit, Snapshot, SnapshotReview, TrainingRun, TunedParameters

__all__ = [
    "AccuracyLook",
    "AnswerCount",
    "ApiToken",
    "AuditEvent",
    "BulkDecision",
    "DeadLetter",
    "Document",
    "DocumentSplit",
    "DriftLook",
    "DriftReference",
    "ErasedCount",
    "Erasure",
    "Explanation",
    "IdempotencyKey",
    "ImportFile",
    "Incident",
    "KnownBrowser",
    "Label",
    "ModelForm",
    "ModelVersion",
    "OutboxEvent",
    "Prediction",
    "QueueItem",
    "RecoveryCode",
    "Review",
    "SearchIndex",
    "SearchPending",
    "Shadow",
    "SignInFailure",
    "SignInLink",
    "SignInStep",
    "Snapshot",
    "SnapshotReview",
    "Table",
    "TrainingRun",
    "TunedParameters",
    "User",
    "UserSession",
    "Webhook",
    "WebhookDelivery",
]
