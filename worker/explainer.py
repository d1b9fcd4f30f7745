"""The worker's handle on the explaining process: it is started when needed and ended when idle."""

import logging
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from classifier.classifier import fetch_checkpoint
from classifier.engines.choose import cores
from classifier.store import ModelStore
from sortline.errors import PermanentError, TransientError

log = logging.getLogger(__name__)

MOST_S = 80.0  # for one explanation, including the loading of torch and the model


class ExplainerProcess:
    """Explains one text after another in a process of its own; thread-safe.

    torch, Captum and the model take memory that a worker should not hold for good, so the process ends after
    ``keep_s`` without a request.

    Args:
        store: where checkpoints are.
        threads: processor threads that the process may use; 0: all.
        keep_s: seconds that the process is kept after the last request.
    """

    def __init__(self, store: ModelStore, threads: int, keep_s: float) -> None:
        self._store = store
        self._threads = threads
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._verified: tuple[str, str] | None = None  # sha256 and folder of the checkpoint that it has loaded
        self._idle: threading.Timer | None = None

    def explain(
        self, uri: str, sha256: str, text: str, label_id: int, layer: NDArray[np.float32] | None = None
    ) -> dict[str, Any]:
        """The fields of a `classifier.explain.Explanation`.

        Args:
            uri: URI of the checkpoint.
            sha256: sha256 of the checkpoint's sortline.json.
            text: the text as stored.
            label_id: one of the checkpoint's labels.
            layer: the last layer that answered, (labels, d + 1), the biases last; None: the checkpoint's own.

        Raises:
            PermanentError: the checkpoint is missing or damaged, does not have the label, or can't have the layer.
            TransientError: the process took too long or died.
        """
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            try:
                if self._verified is None or self._verified[0] != sha256:
                    self._verified = sha256, str(fetch_checkpoint(uri, sha256, self._store).folder)
                question = {"folder": self._verified[1], "text": text, "label_id": label_id, "layer": layer}
                answer = self._ask(question)
            finally:
                self._idle = threading.Timer(self._keep_s, self.end)
                self._idle.daemon = True
                self._idle.start()
        if "error" in answer:
            raise PermanentError(answer["error"])
        return answer

    def end(self) -> None:
        """End the process once it has answered; this frees its memory."""
        with self._lock:
            self._end()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        was_late = threading.Event()

        def stop() -> None:
            was_late.set()
            process.kill()

        late = threading.Timer(MOST_S, stop)
        late.start()
        try:
            process.stdin.write(orjson.dumps(question, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        finally:
            late.cancel()
        if line:
            answer: dict[str, Any] = orjson.loads(line)
            return answer
        self._end()
        if was_late.is_set():
            raise TransientError(f"the explanation took over {MOST_S:g} s")
        raise TransientError(f"the explaining process died with exit status {process.returncode}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "classifier.explain_process", str(cores(self._threads))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
                # Threads that spin while they wait would take processor time from the intake.
                env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "MPLBACKEND": "agg"},
            )  # fmt: skip
            log.info("started process %d for explanations", self._process.pid)
        return self._process

    def _end(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process = None
