"""How fast fine-tuning was on this machine, to tell beforehand how long the next one takes."""

import json
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy.orm import Session

from db.queries.labelled import training_size
from sortline.training_progress import duration, work
from sortline.whole_file import write_whole
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.pooling import pools_by_mean
from trainer.fine_tuning.work_folder import trainings_folder

_FILE = "speed.json"
_CHARACTERS_A_TOKEN = 4  # about; what lies beyond the window costs nothing
_MANY, _SOON_S = 5_000, 120.0  # documents and seconds below which nobody needs to be told beforehand


def longest_read(max_length: int) -> int:
    """About how many characters of a text a window of so many tokens reads."""
    return _CHARACTERS_A_TOKEN * max_length


def characters(texts: Iterable[str], max_length: int) -> int:
    """About how many characters of texts are read."""
    most = longest_read(max_length)
    return sum(min(len(text), most) for text in texts)


def note_speed(data_dir: Path, base: str, read: float, seconds: float) -> None:
    """Keep what a fine-tuning took.

    Args:
        base: name of the base model.
        read: characters, in all epochs.
    """
    if read > 0 and seconds > 0:
        path = trainings_folder(data_dir) / _FILE
        write_whole(path, json.dumps(_known(data_dir) | {base: seconds / read}).encode())


def foretold(data_dir: Path, base: str, read: float) -> float | None:
    """Seconds that a fine-tuning will take, if the last one of this base model is a guide; None: there was none."""
    rate = _known(data_dir).get(base)
    return None if rate is None else rate * read


def foretell(session: Session, data_dir: Path, parameters: Parameters, base_model: str, folder: Path) -> str:
    """How long the next fine-tuning takes, in one sentence, before anybody waits for it; empty: a minute or two.

    Args:
        base_model: the name of the base model in ``folder``.
    """
    documents, read = training_size(session, longest_read(parameters.max_length))
    epochs = parameters.settled(documents, 1, pools_by_mean(folder)).epochs
    work_s = foretold(data_dir, base_model, epochs * read)
    if documents < _MANY or (work_s is not None and work_s < _SOON_S):
        return ""
    steps = epochs * -(-documents // parameters.batch_size)
    time = (
        "how long it takes is told after its first steps"
        if work_s is None
        else f"about {duration(work_s)} at the speed of the last training here"
    )
    return f"{documents:,} documents to learn from: {work(steps, epochs)}; {time}"


def _known(data_dir: Path) -> dict[str, float]:
    """Seconds a character, by base model."""
    try:
        found = json.loads((trainings_folder(data_dir) / _FILE).read_text())
        return {str(base): float(rate) for base, rate in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
