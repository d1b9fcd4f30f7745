"""One logging set-up for every process: a line an event on standard error, no document texts."""

import logging
import os
import sys

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class _OneLine(logging.Formatter):
    """Escapes control characters, so that hostile input can't forge log lines."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        head, newline, trace = text.partition("\nTraceback")
        head = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in head)
        return head + newline + trace


def set_up_logging(level: str = "INFO") -> None:
    """Send log records of ``level`` and above to standard error; called once by each process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(_FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "alembic.runtime", "nncf", "kombu", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def silence_telemetry() -> None:
    """Switch off what OpenVINO, NNCF and Hugging Face would send home; call before importing them."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["NNCF_TELEMETRY"] = "0"
    os.environ["OPENVINO_TELEMETRY"] = "0"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
