"""The classifier that the worker uses: it checks for promotions, loads and warms the new version, then swaps."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from sqlalchemy.exc import DBAPIError

from classifier.classifier import Classifier
from db.models import ModelVersion
from db.queries.model_versions import active
from db.session import session
from sortline.errors import CheckpointError, ConfigurationError, ServerUnreachableError, SortlineError, TransientError
from sortline.settings import Settings
from worker.metrics import MODEL
from worker.recheck import disagreement

log = logging.getLogger(__name__)

Load = Callable[[str, str | None, Settings], Classifier]
_RETRY_S = 15.0
_BESIDE_KEPT_S = 120.0


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model version and its warm classifier."""

    version_id: int
    classifier: Classifier


class Models:
    """The active model version, loaded. The replaced one stays loaded for a while, so a rollback is immediate."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.current: LoadedModel | None = None
        self.refused: str | None = None
        self._load = _loader(settings.classifier)
        self._previous: LoadedModel | None = None
        self._beside: LoadedModel | None = None
        self._beside_used = 0.0
        self._loading_beside = threading.Lock()
        self._replaced_at = 0.0
        self._failed: tuple[int, float] | None = None
        self._ready = threading.Event()

    def wait(self, timeout: float) -> LoadedModel | None:
        """The current model; waits until there is one, or until the timeout."""
        self._ready.wait(timeout)
        return self.current

    def beside(self, version: ModelVersion) -> Classifier:
        """Load and warm a version other than the active one; it is unloaded two minutes after its last use.

        Raises:
            CheckpointError: it can't be loaded.
        """
        with self._loading_beside:
            if self._beside is None or self._beside.version_id != version.id:
                self._beside = None  # frees its memory before another is loaded
                classifier = self._load(version.checkpoint_uri, version.sha256, self.settings)
                classifier.warm()
                self._beside = LoadedModel(version.id, classifier)
                log.info("model version %s is loaded beside the active one", version.id)
            self._beside_used = time.monotonic()
            return self._beside.classifier

    def check_promotion(self) -> None:
        """Swap to the active version if it has changed; while Postgres is unreachable, nothing changes."""
        try:
            with session(self.settings.postgres_url) as opened:
                row = active(opened)
        except (TransientError, DBAPIError):
            return
        if self._previous and time.monotonic() - self._replaced_at > self.settings.keep_previous_s:
            log.info("model version %s is unloaded", self._previous.version_id)
            self._previous = None
        if self._beside and time.monotonic() - self._beside_used > _BESIDE_KEPT_S:
            log.info("model version %s, which was loaded beside the active one, is unloaded", self._beside.version_id)
            self._beside = None
        if row is None or (self.current and self.current.version_id == row.id):
            return
        if self._failed and self._failed[0] == row.id and time.monotonic() < self._failed[1]:
            return
        loaded = self._from_previous(row.id) or self._from_store(row)
        if loaded is not None:
            self._swap(loaded)

    def _from_previous(self, version_id: int) -> LoadedModel | None:
        return self._previous if self._previous and self._previous.version_id == version_id else None

    def _from_store(self, version: ModelVersion) -> LoadedModel | None:
        started, version_id = time.monotonic(), version.id
        try:
            classifier = self._load(version.checkpoint_uri, version.sha256, self.settings)
            classifier.warm()
            with session(self.settings.postgres_url) as opened:
                wrong = disagreement(opened, version, classifier, self.settings.recheck_documents)
            if wrong:
                raise CheckpointError(wrong)
        except (DBAPIError, ServerUnreachableError) as error:
            log.warning("model version %s can't be checked yet: %s", version_id, type(error).__name__)
            return None
        except (SortlineError, OSError, ValueError, RuntimeError) as error:
            # The previous version stays in use: a broken checkpoint must not stop the line.
            self.refused = f"model version {version_id} is refused: {error}"
            self._failed = (version_id, time.monotonic() + _RETRY_S)
            log.error("%s", self.refused)
            return None
        engine, seconds = classifier.engine.name, time.monotonic() - started
        log.info("model version %s is warm on %s after %.1f s", version_id, engine, seconds)
        return LoadedModel(version_id, classifier)

    def _swap(self, loaded: LoadedModel) -> None:
        self._previous, self.current = self.current, loaded
        self._replaced_at = time.monotonic()
        self.refused = self._failed = None
        self._ready.set()
        MODEL.set(loaded.version_id)
        log.info("model version %s is in use", loaded.version_id)


def _loader(reference: str) -> Load:
    """The function that the setting CLASSIFIER names as `module:function`."""
    module, _, name = reference.partition(":")
    try:
        load: Load = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        message = f"setting SORTLINE_CLASSIFIER: {reference} can't be loaded: {error}"
        raise ConfigurationError(message) from None
    return load
