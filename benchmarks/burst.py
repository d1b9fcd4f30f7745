"""A burst: how many documents a second warm workers take from a full stream, and in how much memory."""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

import psutil

from benchmarks.named_worker import NAMED_WORKER, NATIVE, by_thread, interpreter_s
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


class Cost(NamedTuple):
    """What a document of a burst cost: processor microseconds, the kernel's included, of the worker and the servers.

    ``own_us``: of the worker's Python threads, without those that libraries started for the engine and the tokenizer;
    ``peak_rss_mb``: the worker's greatest resident memory, in MiB; ``by_thread``: the worker's threads by their names;
    ``interpreter_us``: the most that a document can keep the interpreter busy, which is the time of the Python threads
    without the kernel's.
    """

    docs_per_s: float
    worker_us: float
    own_us: float
    postgres_us: float
    redis_us: float
    peak_rss_mb: float
    by_thread: dict[str, float]
    interpreter_us: float


def line_cost(made: Stack, sent: Sequence[Document]) -> Cost:
    """Rate and cost of a warm worker on a full stream."""
    with made.worker(NAMED_WORKER) as process:
        made.wait_ready()
        time.sleep(1.0)  # what else starts with a worker has ended by then
        memory = PeakMemory(process.pid)
        servers = [child.process.pid for child in made.servers.values() if child.process]
        # Redis takes the documents meanwhile too, which is a small part of its work for them.
        before, threads = [processor_s(pid) for pid in servers], by_thread(process.pid)
        held = interpreter_s(process.pid)
        rate = burst(made, [process], sent)
        held = interpreter_s(process.pid) - held
        spent = {name: end - threads.get(name, 0.0) for name, end in by_thread(process.pid).items()}
        postgres, redis = (processor_s(pid) - start for pid, start in zip(servers, before, strict=True))
        peak = memory.stop()
        time.sleep(0.5)
    worker = sum(spent.values())
    own = worker - spent.get(NATIVE, 0.0)
    us = [round(1e6 * seconds / len(sent), 1) for seconds in (worker, own, postgres, redis, held)]
    threads = {name: round(1e6 * seconds / len(sent), 1) for name, seconds in spent.items()}
    return Cost(round(rate, 1), us[0], us[1], us[2], us[3], peak, threads, us[4])


def burst(made: Stack, workers: Sequence[subprocess.Popen[bytes]], sent: Sequence[Document]) -> float:
    """Documents a second of warm workers on a full stream."""
    # They are stopped while the stream is filled, so that all of it is there at the first read.
    stopped = [each for worker in workers for each in _processes(worker.pid)]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    for start in range(0, len(sent), 1000):
        made.queue.append(sent[start : start + 1000], "bulk")
    for process in stopped:
        process.send_signal(signal.SIGCONT)
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


def _processes(pid: int) -> list[psutil.Process]:
    """A worker's process, and those that it started."""
    main = psutil.Process(pid)
    return [main, *main.children(recursive=True)]


class PeakMemory:
    """Greatest resident memory of a process and those that it started, sampled ten times a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self.bytes = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            with contextlib.suppress(psutil.Error):
                self.bytes = max(self.bytes, sum(each.memory_info().rss for each in _processes(self._pid)))

    def stop(self) -> float:
        """Mebibytes."""
        self._stop.set()
        self._thread.join()
        return round(self.bytes / 2**20, 1)
