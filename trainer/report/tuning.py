"""The report of a tuning study: one page, with Optuna's plots."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import optuna
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from sortline.counted import counted

_STYLE: Any = {"svg.fonttype": "none", "font.size": 8.5, "axes.facecolor": "white", "figure.figsize": (7.2, 3.6)}


@dataclass(frozen=True)
class Outcome:
    """What a study found.

    ``gain``: macro-F1 on validation of the best parameters minus that of those used before, each trained again
    with another seed; ``used``: whether they are stored for later trainings; ``report``: its URI.
    """

    study: str
    trials: int
    pruned: int
    failed: int
    best: dict[str, Any]
    macro_f1: float
    untuned_macro_f1: float
    gain: float
    gain_interval: list[float]
    used: bool
    report: str


def write_tuning_report(folder: Path, study: optuna.Study, outcome: Outcome, documents: int) -> None:
    """Write ``report.html``, which needs no other file.

    Args:
        documents: that validated.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, trim_blocks=True
    )
    environment.filters["counted"] = counted
    trials = sorted(study.get_trials(), key=lambda trial: -(trial.value if trial.value is not None else -1.0))
    page = environment.get_template("tuning.html").render(
        outcome=outcome, documents=documents, trials=trials, plots=list(_plots(study, outcome))
    )
    (folder / "report.html").write_text(page, encoding="utf-8")


def _plots(study: optuna.Study, outcome: Outcome) -> list[tuple[str, Markup]]:
    from optuna.visualization import matplotlib as plots

    complete = outcome.trials - outcome.pruned - outcome.failed
    drawn: list[tuple[str, Any]] = [
        ("Macro-F1 of each trial, and the best so far", plots.plot_optimization_history),
        ("Macro-F1 by epoch", plots.plot_intermediate_values),
        ("Each parameter alone", plots.plot_slice),
        ("When each trial ran", plots.plot_timeline),
    ]
    if complete > 1:
        drawn[1:1] = [("What matters: importance by fANOVA", plots.plot_param_importances)]
    return [(title, drawing) for title, plot in drawn if (drawing := _svg(plot, study)) is not None]


def _svg(plot: Any, study: optuna.Study) -> Markup | None:
    """A plot as part of a page; None if there are too few trials for it."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each of these plots says that it is experimental
        try:
            axes = plot(study)
            figure = plt.gcf()
            figure.set_size_inches(14 if not hasattr(axes, "plot") else 7.2, 3.6)
            for each in figure.axes:
                each.set_title("")
            written = io.StringIO()
            figure.savefig(written, format="svg", bbox_inches="tight", metadata={"Date": None})
        except (ValueError, RuntimeError, ZeroDivisionError):
            return None
        finally:
            plt.close("all")
    drawing = written.getvalue()
    return Markup(drawing[drawing.index("<svg") :])  # noqa: S704 - matplotlib escapes the texts in it
