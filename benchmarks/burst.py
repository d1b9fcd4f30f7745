"""A burst: how many documents a second warm workers take from a full stream, and in how much memory."""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

import psutil

from benchmarks.stack import Stack
from sortline.queue import Document


def line_rate(made: Stack, sent: Sequence[Document]) -> tuple[float, float]:
    """Documents a second of a warm worker on a full stream, and its peak memory in MiB."""
    with made.worker() as process:
        made.wait_ready()
        memory = PeakMemory(process.pid)
        rate = burst(made, [process], sent)
        peak = memory.stop()
        time.sleep(0.5)
    return rate, peak


def burst(made: Stack, workers: Sequence[subprocess.Popen[bytes]], sent: Sequence[Document]) -> float:
    """Documents a second of warm workers on a full stream."""
    # They are stopped while the stream is filled, so that all of it is there at the first read.
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    for start in range(0, len(sent), 1000):
        made.queue.append(sent[start : start + 1000], "bulk")
    for worker in workers:
        worker.send_signal(signal.SIGCONT)
    began = made.wait_first_read()
    return len(sent) / (made.wait_drained() - began)


def processor_s(*pids: int) -> float:
    """Processor time that these processes and their children took so far, in seconds."""
    return sum(_processor_s(psutil.Process(pid)) for pid in pids)


def _processor_s(process: psutil.Process) -> float:
    seconds = float(sum(process.cpu_times()[:4]))  # of children that ended too
    for child in process.children():
        with contextlib.suppress(psutil.Error):
            seconds += sum(child.cpu_times()[:2])
    return seconds


class PeakMemory:
    """Greatest resident memory of a process, sampled ten times a second."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self.bytes = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            with contextlib.suppress(psutil.Error):
                self.bytes = max(self.bytes, self._process.memory_info().rss)

    def stop(self) -> float:
        """Mebibytes."""
        self._stop.set()
        self._thread.join()
        return round(self.bytes / 2**20, 1)
