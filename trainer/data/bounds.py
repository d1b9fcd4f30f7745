"""How many documents of a training are looked at where a sample tells as much as all: it bounds memory and time."""

HELD_OUT = 20_000  # of each held-out part: an accuracy of 90 % is known to 0.4 points then
HEAD = 100_000  # on which a new head is fitted before the fine-tuning
CROSS_VALIDATED = 20_000  # the newest, among which label errors are looked for
BASELINE = 20_000  # from which TF-IDF with logistic regression learns
FIT = 8_000  # of which the fit's space is made
VECTORS = 100_000  # of a student; with more documents it learns their answers alone, which takes less memory

_OF_TRAINING = (
    ("the start of the head", HEAD), ("cross-validation and the search for label errors", CROSS_VALIDATED),
    ("TF-IDF, which the model is compared with", BASELINE), ("the fit", FIT),
)  # fmt: skip


def said(documents: int) -> str:
    """Which parts of a training look at a sample of so many training documents, in words; empty if none does."""
    parts = [f"{most:,} for {what}" for what, most in _OF_TRAINING if documents > most]
    return f"Of the {documents:,} training documents a sample is used: {', '.join(parts)}." if parts else ""
