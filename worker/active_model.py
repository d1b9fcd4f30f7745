"""The classifier that the worker uses: it checks for promotions, loads and warms the new version, then swaps."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from classifier.classifier import Classifier
from classifier.engines.choose import serves
from db.models import ModelVersion
from db.queries import model_forms
from db.queries.model_forms import WHOLE, Sealed
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
    """A form of a model version, and its warm classifier."""

    version_id: int
    form: str
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
        self._failed: tuple[tuple[int, str], float] | None = None
        self._ready = threading.Event()

    def wait(self, timeout: float) -> LoadedModel | None:
        """The current model; waits until there is one, or until the timeout."""
        self._ready.wait(timeout)
        return self.current

    def beside(self, version: ModelVersion) -> LoadedModel:
        """Load and warm a version other than the active one; it is unloaded two minutes after its last use.

        Raises:
            CheckpointError: it can't be loaded.
        """
        with self._loading_beside:
            if self._beside is None or self._beside.version_id != version.id:
                self._beside = None  # frees its memory before another is loaded
                with session(self.settings.postgres_url) as opened:
                    wanted = self._wanted(opened, version)
                classifier = self._load(wanted.uri, wanted.sha256, self.settings)
                classifier.warm()
                self._beside = LoadedModel(version.id, wanted.name, classifier)
                log.info("model version %s is loaded beside the active one", version.id)
            self._beside_used = time.monotonic()
            return self._beside

    def check_promotion(self) -> None:
        """Swap to the active version or form if it has changed; while Postgres is unreachable, nothing changes."""
        try:
            with session(self.settings.postgres_url) as opened:
                row = active(opened)
                wanted = None if row is None else self._wanted(opened, row)
        except (TransientError, DBAPIError):
            return
        if self._previous and time.monotonic() - self._replaced_at > self.settings.keep_previous_s:
            log.info("%s is unloaded", _named(self._previous.version_id, self._previous.form))
            self._previous = None
        if self._beside and time.monotonic() - self._beside_used > _BESIDE_KEPT_S:
            log.info("model version %s, which was loaded beside the active one, is unloaded", self._beside.version_id)
            self._beside = None
        if row is None or wanted is None or _is(self.current, row, wanted):
            return
        if self._failed and self._failed[0] == (row.id, wanted.name) and time.monotonic() < self._failed[1]:
            return
        loaded = self._previous if _is(self._previous, row, wanted) else self._from_store(row, wanted)
        if loaded is not None:
            self._swap(loaded)
            self.refused = self._failed = None
        elif self._failed and self.current is None and wanted.name != WHOLE:
            # A broken form must not stop the line either; it is tried again later.
            failed = self._failed
            whole = self._from_store(row, Sealed(WHOLE, row.checkpoint_uri, row.sha256))
            if whole is not None:
                self._failed = failed
                self._swap(whole)

    def _wanted(self, opened: Session, version: ModelVersion) -> Sealed:
        """The form of a version that this process is to load: the one that serves, if this machine's engine can."""
        name = self.settings.form or version.form
        return model_forms.sealed(opened, version, serves(name, self.settings))

    def _from_store(self, version: ModelVersion, wanted: Sealed) -> LoadedModel | None:
        started, version_id = time.monotonic(), version.id
        try:
            classifier = self._load(wanted.uri, wanted.sha256, self.settings)
            classifier.warm()
            with session(self.settings.postgres_url) as opened:
                wrong = disagreement(opened, version, wanted.name, classifier, self.settings.recheck_documents)
            if wrong:
                raise CheckpointError(wrong)
        except (DBAPIError, ServerUnreachableError) as error:
            log.warning("model version %s can't be checked yet: %s", version_id, type(error).__name__)
            return None
        except (SortlineError, OSError, ValueError, RuntimeError) as error:
            # The previous version stays in use: a broken checkpoint must not stop the line.
            self.refused = f"{_named(version_id, wanted.name)} is refused: {error}"
            self._failed = ((version_id, wanted.name), time.monotonic() + _RETRY_S)
            log.error("%s", self.refused)
            return None
        engine, seconds = classifier.engine.name, time.monotonic() - started
        log.info("%s is warm on %s after %.1f s", _named(version_id, wanted.name), engine, seconds)
        return LoadedModel(version_id, wanted.name, classifier)

    def _swap(self, loaded: LoadedModel) -> None:
        self._previous, self.current = self.current, loaded
        self._replaced_at = time.monotonic()
        self._ready.set()
        MODEL.set(loaded.version_id)
        log.info("%s is in use", _named(loaded.version_id, loaded.form))


def _is(loaded: LoadedModel | None, version: ModelVersion, wanted: Sealed) -> bool:
    return loaded is not None and (loaded.version_id, loaded.form) == (version.id, wanted.name)


def _named(version_id: int, form: str) -> str:
    return f"model version {version_id}" + ("" if form == WHOLE else f" in its form {form}")


def _loader(reference: str) -> Load:
    """The function that the setting CLASSIFIER names as `module:function`."""
    module, _, name = reference.partition(":")
    try:
        load: Load = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        message = f"setting SORTLINE_CLASSIFIER: {reference} can't be loaded: {error}"
        raise ConfigurationError(message) from None
    return load
