"""All figures of a model version, and all of a form."""

from typing import Any

from classifier.figures.acceptance import Guarantee, Offer
from classifier.figures.evaluation import Baselines, Evaluation, Evidence, Latency
from classifier.figures.forms import FormVerdict, Int8Choice
from classifier.figures.gate import Verdict
from classifier.figures.record import Part
from classifier.figures.training import FitFigures, Learning, ReadabilityFigures, SnapshotCounts, StarterFigures


class Recheck(Part):
    """Predictions that a worker repeats when it loads the model; ``labels`` are ids."""

    document_ids: list[int] = []
    labels: list[int] = []
    confidences: list[float] = []


class VersionFigures(Part):
    """All figures of a model version; ``report``: where its report is.

    ``threshold``, ``guarantee`` and what test says of acceptance are those of the risk target that the training aimed
    at; ``offers`` are those of each target that can be chosen (`classifier.risk_targets`), least first; older versions
    have none.
    """

    engine: str | None = None
    temperature: float | None = None
    threshold: float | None = None
    snapshot: SnapshotCounts = SnapshotCounts()
    baselines: Baselines = Baselines()
    evidence: Evidence = Evidence()
    guarantee: Guarantee = Guarantee()
    fit: FitFigures = FitFigures()
    offers: list[Offer] = []
    latency: Latency = Latency()
    recheck: Recheck = Recheck()
    test: Evaluation = Evaluation()
    learning: Learning = Learning()
    parameters: dict[str, Any] = {}
    versions: dict[str, str] = {}
    size_bytes: int | None = None
    label_errors: int | None = None
    readability: ReadabilityFigures = ReadabilityFigures()
    gate: Verdict = Verdict()
    report: str | None = None
    starter: StarterFigures = StarterFigures()


class FormFigures(VersionFigures):
    """Figures of a form: its own where it was measured, and the gate's; the rest are its version's.

    ``traffic``: texts that there were for its newest verdict; ``int8``: which variant it is, of the form int8.
    """

    verdict: FormVerdict = FormVerdict()
    traffic: int | None = None
    int8: Int8Choice = Int8Choice()
