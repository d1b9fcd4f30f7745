"""The classifier that the worker uses: it checks for promotions, loads and warms the new version, then swaps."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from classifier.checkpoint import Checkpoint
from classifier.classifier import Classifier, deciding_at
from classifier.engines.choose import serves
from classifier.figures import VersionFigures
from classifier.head import Head
from classifier.risk_targets import thresholds_at
from db.models import ModelVersion
from db.queries import embeddings, heads, model_forms, risk_targets
from db.queries.model_forms import WHOLE, Sealed
from db.queries.model_versions import active, get
from db.reading import first_line
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
    """A form of a model version, its warm classifier with the thresholds that hold at a risk target.

    ``encoder_id``: what made its vectors, None: it gives none. ``revision``: of a starter, whose head is fitted anew as
    people decide; None: the head is the checkpoint's. ``target``: that people have chosen, None: none; ``sealed``: the
    description of the checkpoint.
    """

    version_id: int
    form: str
    classifier: Classifier
    encoder_id: int | None = None
    revision: int | None = None
    target: float | None = None
    sealed: Checkpoint | None = None


class Models:
    """The active model version, loaded. The replaced one stays loaded for a while, so a rollback is immediate.

    ``current`` is None while no version is active, and while the active one is not loaded yet. `wait` tells the two
    apart: without an active version documents are stored unpredicted, else they wait for it.
    """

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
        self._unanswered = ""
        self._ready = threading.Event()

    def wait(self, timeout: float) -> bool:
        """Wait until documents may be read, or until the timeout; returns whether they may.

        They may be read once a model is loaded, or once Postgres has said that no version is active.
        """
        return self._ready.wait(timeout)

    def became_active(self) -> None:
        """A version is active, as a transaction has seen: documents wait until it is loaded."""
        if self.current is None:
            self._ready.clear()

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
                self._beside = LoadedModel(version.id, wanted.name, classifier)  # a shadow's vectors are not kept
                log.info("model version %s is loaded beside the active one", version.id)
            self._beside_used = time.monotonic()
            with session(self.settings.postgres_url) as opened:
                self._beside = decided_at(self._beside, opened)
            return self._beside

    def check_promotion(self) -> None:
        """Swap to the active version or form if it has changed; while Postgres is unreachable, nothing changes."""
        try:
            with session(self.settings.postgres_url) as opened:
                row = active(opened)
                wanted = None if row is None else self._wanted(opened, row)
                self._follow_target(opened)
                revised = self._revised(opened, row) if row is not None and row.starter else None
        except (TransientError, DBAPIError) as error:
            self._note_unanswered(first_line(error))
            return
        self._note_unanswered("")
        self._unload_idle()
        if row is None or wanted is None:
            self._none_is_active()
            return
        self.became_active()
        if _is(self.current, row, wanted):
            if revised is not None:
                self.current = revised
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

    def _note_unanswered(self, why: str) -> None:
        """Log why Postgres does not say which version is active, once for each reason; empty: it does."""
        if why and why != self._unanswered:
            log.warning("Postgres does not say which model version is active; it is asked again: %s", why)
        elif self._unanswered and not why:
            log.info("Postgres says again which model version is active")
        self._unanswered = why

    def follows(self, opened: Session) -> bool:
        """Whether what is loaded is the form that serves, with the thresholds that people have chosen."""
        current, version = self.current, active(opened)
        if current is None or version is None or not _is(current, version, self._wanted(opened, version)):
            return False
        return current.target == risk_targets.chosen(opened)

    def _revised(self, opened: Session, version: ModelVersion) -> LoadedModel | None:
        """The loaded starter with the head of its newest revision; None: it has that, or is not loaded."""
        current = self.current
        if current is None or current.version_id != version.id:
            return None
        if heads.newest_number(opened, version.id) == (current.revision or 0):
            return None
        newest = heads.newest(opened, version.id)
        if newest is None or newest.encoder_id != current.encoder_id:
            return None
        log.info("revision %d of %s is in use", newest.revision, _named(version.id, current.form))
        classifier = current.classifier.revised(Head.unpacked(newest.weights), newest.temperature)
        return replace(current, classifier=classifier, revision=newest.revision)

    def _unload_idle(self) -> None:
        if self._previous and time.monotonic() - self._replaced_at > self.settings.keep_previous_s:
            log.info("%s is unloaded", _named(self._previous.version_id, self._previous.form))
            self._previous = None
        if self._beside and time.monotonic() - self._beside_used > _BESIDE_KEPT_S:
            log.info("model version %s, which was loaded beside the active one, is unloaded", self._beside.version_id)
            self._beside = None

    def _none_is_active(self) -> None:
        if self.current is not None:
            self._previous, self.current = self.current, None
            self._replaced_at = time.monotonic()
            self.refused = None
            MODEL.set(0)
            log.warning("no model version is active any more: documents are stored and wait for one")
        elif not self._ready.is_set():
            log.info("no model version is active yet: documents are stored and wait for one")
        self._ready.set()

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
                encoder_id = _encoder_id(opened, classifier, version.id, wanted)
                loaded = decided_at(LoadedModel(version_id, wanted.name, classifier, encoder_id), opened)
                opened.commit()
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
        return loaded

    def _follow_target(self, opened: Session) -> None:
        """Give what is loaded the thresholds that hold at the target that people have chosen since."""
        target = risk_targets.chosen(opened)
        if self.current is not None and self.current.target != target:
            self.current = decided_at(self.current, opened)
            log.info("documents are decided at the risk target %s", target or "that the version was trained for")
        if self._previous is not None and self._previous.target != target:
            self._previous = decided_at(self._previous, opened)

    def _swap(self, loaded: LoadedModel) -> None:
        self._previous, self.current = self.current, loaded
        self._replaced_at = time.monotonic()
        self._ready.set()
        MODEL.set(loaded.version_id)
        log.info("%s is in use", _named(loaded.version_id, loaded.form))


def decided_at(loaded: LoadedModel, opened: Session) -> LoadedModel:
    """The same model with the thresholds that hold at the risk target that people have chosen."""
    target = risk_targets.chosen(opened)
    if loaded.sealed is not None and loaded.target == target:
        return loaded
    if loaded.revision is not None:  # a starter accepts nothing at any target
        return replace(loaded, target=target)
    version, sealed = get(opened, loaded.version_id), loaded.sealed or loaded.classifier.checkpoint
    figures = VersionFigures.model_validate(model_forms.figures(opened, version, loaded.form))
    thresholds = thresholds_at(figures, target, version.may_lack_proof)
    classifier = deciding_at(loaded.classifier, sealed, thresholds)
    return replace(loaded, classifier=classifier, target=target, sealed=sealed)


def _is(loaded: LoadedModel | None, version: ModelVersion, wanted: Sealed) -> bool:
    return loaded is not None and (loaded.version_id, loaded.form) == (version.id, wanted.name)


def _encoder_id(opened: Session, classifier: Classifier, version_id: int, loaded: Sealed) -> int | None:
    width = classifier.engine.width
    if not width:
        return None
    made_by = classifier.checkpoint.encoder or loaded.sha256
    found = embeddings.encoder_id(opened, made_by or loaded.uri, loaded.name, width)
    embeddings.note_encoder(opened, version_id, loaded.name, found)
    return found


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
