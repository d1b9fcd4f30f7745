"""Can trainings start from the base model, and can it read the documents?"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sortline.cli.checks.finding import Finding
from sortline.errors import SortlineError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def check_base_model(name: str) -> Iterator[Finding]:
    """Whether trainings can start from the base model; no finding if this machine can't train."""
    if not (find_spec("transformers") and find_spec("torch") and find_spec("accelerate")):
        return
    from classifier.base_models import base_model_here
    from trainer.fine_tuning.base_check import check_folder

    try:
        folder = base_model_here(name)
        if folder is None:
            yield Finding(
                "base model", "warn", f"{name} is not on this machine", "`sortline train` will download it from the hub"
            )
            return
        check_folder(folder, name)
    except SortlineError as error:
        yield Finding("base model", "fail", str(error), "set SORTLINE_BASE_MODEL, or use `sortline train --base-model`")
    else:
        yield Finding("base model", "ok", name)


def check_texts(opened: "Session", base_model: str) -> Iterator[Finding]:
    """Whether the base model can read the newest documents; no finding if this machine can't tell."""
    from db.queries.labelled import newest_texts
    from trainer.data.base_texts import MOST_TEXTS, base_readability

    readable = base_readability(newest_texts(opened, MOST_TEXTS), base_model)
    if readable is not None:
        from classifier.readable import ADVICE

        poor = readable.is_poor
        yield Finding("texts", "warn" if poor else "ok", readable.finding(), ADVICE if poor else None)
