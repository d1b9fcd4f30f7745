"""The texts that are measured on: banking77 where it lies beside the project, else the shipped sample."""

import csv
from pathlib import Path

from worker.queue import Document

ROOT = Path(__file__).resolve().parents[1]
BANKING77 = ROOT.parent / "shared" / "data"


def training_files() -> list[tuple[Path, str | None]]:
    """Labelled files and the split of each."""
    if (BANKING77 / "banking77_train.csv").is_file():
        return [(BANKING77 / "banking77_test.csv", "test"), (BANKING77 / "banking77_train.csv", "train")]
    return [(ROOT / "examples" / "support_messages.csv", None)]


def texts() -> list[str]:
    """Distinct texts."""
    found: list[str] = []
    for path, _ in training_files():
        with path.open(encoding="utf-8", newline="") as file:
            found += [row["text"] for row in csv.DictReader(file)]
    return found


def documents(count: int, tag: str) -> list[Document]:
    """``count`` documents, each made distinct by a short reference number at its end."""
    pool = texts()
    return [Document(f"{tag}-{i}", f"{pool[i % len(pool)]} ref {i}", "bench") for i in range(count)]
