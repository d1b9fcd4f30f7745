"""Tables: the only definition of the database's schema, which migrations follow."""

from db.models.documents import DeadLetter, Document, ErasedCount, Erasure
from db.models.embeddings import Embedding, Encoder
from db.models.events import OutboxEvent, Webhook, WebhookDelivery
from db.models.model_versions import FormDraw, ModelForm, ModelHead, ModelVersion, Redecision, RiskTarget, Shadow
from db.models.monitoring import AccuracyLook, DriftLook, DriftReference, Incident
from db.models.people import KnownBrowser, RecoveryCode, SignInFailure, SignInLink, SignInStep, User, UserSession
from db.models.predictions import AnswerCount, Explanation, Prediction, Unpredicted
from db.models.requests import ApiToken, AuditEvent, IdempotencyKey, ImportFile
from db.models.reviews import BulkDecision, Label, LabelExample, QueueItem, Review
from db.models.search import SearchIndex, SearchPending
from db.models.table import Table
from db.models.topics import Grouping, Topic, TopicDocument
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
    "Embedding",
    "Encoder",
    "ErasedCount",
    "Erasure",
    "Explanation",
    "FormDraw",
    "Grouping",
    "IdempotencyKey",
    "ImportFile",
    "Incident",
    "KnownBrowser",
    "Label",
    "LabelExample",
    "ModelForm",
    "ModelHead",
    "ModelVersion",
    "OutboxEvent",
    "Prediction",
    "QueueItem",
    "RecoveryCode",
    "Redecision",
    "Review",
    "RiskTarget",
    "SearchIndex",
    "SearchPending",
    "Shadow",
    "SignInFailure",
    "SignInLink",
    "SignInStep",
    "Snapshot",
    "SnapshotReview",
    "Table",
    "Topic",
    "TopicDocument",
    "TrainingRun",
    "TunedParameters",
    "Unpredicted",
    "User",
    "UserSession",
    "Webhook",
    "WebhookDelivery",
]
