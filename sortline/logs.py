"""One logging set-up for every process: one line per event on standard error, without document texts."""

import json
import logging
import os
import sys
from copy import copy
from datetime import UTC, datetime
from textwrap import indent

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
# What a call may add with `extra`; nothing else goes into a JSON line, so that no text gets in by accident.
_NAMED = ("document", "source", "entry", "lane", "batch", "documents")


class _OneLine(logging.Formatter):
    """Escapes control characters so that hostile input can't forge log lines; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        plain = copy(record)
        plain.exc_info = plain.exc_text = plain.stack_info = None
        trace = "".join(f"\n{line}" for line in _trace(self, record).splitlines())
        return _escaped(super().format(plain)) + indent(trace, "    ")


class _Json(logging.Formatter):
    """One JSON object per line, in ASCII, which escapes control characters and line ends."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= {name: getattr(record, name) for name in _NAMED if hasattr(record, name)}
        if trace := _trace(self, record):
            told["traceback"] = trace
        return json.dumps(told).replace("\x7f", "\\u007f")  # the one control character that JSON does not escape


def set_up_logging(level: str = "INFO", form: str = "text") -> None:
    """Send log records of ``level`` and above to standard error, as ``form`` text or json; call once per process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _OneLine(_FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "alembic.runtime", "nncf", "kombu", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def silence_telemetry() -> None:
    """Switch off the telemetry of OpenVINO, NNCF and Hugging Face; call before importing them."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["NNCF_TELEMETRY"] = "0"
    os.environ["OPENVINO_TELEMETRY"] = "0"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


def silence_transformers() -> None:
    """Keep transformers' progress bars and its warnings about missing files off standard error."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # transformers says no types of it
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # nor of it


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    trace = formatter.formatException(record.exc_info) if record.exc_info else ""
    return "\n".join(_escaped(line) for line in trace.split("\n"))


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
