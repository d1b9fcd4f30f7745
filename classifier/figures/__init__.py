"""The figures of a model version: a training writes them, and the version's row and checkpoint keep them as JSON.

Older versions of Sortline did not store every figure. A figure that is missing or null reads as None, as empty, or as a
part that is false.
"""

from classifier.figures.acceptance import Detection, Guarantee, LabelThreshold, Offer, Unproved
from classifier.figures.evaluation import Baselines, Evaluation, Evidence, Intervals, LabelScores, Latency, RiskCoverage
from classifier.figures.forms import FormVerdict, Int8Choice, Int8Trial, Int8Variant, int8_in_words
from classifier.figures.gate import A_PERSON_DECIDES, AGAINST_STARTER, Compared, Criterion, Flips, LostRecall, Verdict
from classifier.figures.record import Interval
from classifier.figures.training import Epoch, FitFigures, Learning, ReadabilityFigures, SnapshotCounts, StarterFigures
from classifier.figures.version import FormFigures, Recheck, VersionFigures

__all__ = [
    "AGAINST_STARTER",
    "A_PERSON_DECIDES",
    "Baselines",
    "Compared",
    "Criterion",
    "Detection",
    "Epoch",
    "Evaluation",
    "Evidence",
    "FitFigures",
    "Flips",
    "FormFigures",
    "FormVerdict",
    "Guarantee",
    "Int8Choice",
    "Int8Trial",
    "Int8Variant",
    "Interval",
    "Intervals",
    "LabelScores",
    "LabelThreshold",
    "Latency",
    "Learning",
    "LostRecall",
    "Offer",
    "ReadabilityFigures",
    "Recheck",
    "RiskCoverage",
    "SnapshotCounts",
    "StarterFigures",
    "Unproved",
    "Verdict",
    "VersionFigures",
    "int8_in_words",
]
