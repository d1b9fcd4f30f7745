"""Engines in a process of their own: the same answers, errors that keep their kind, and an end with the last user."""

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from tiny_bert import build_tiny_checkpoint

from classifier.classifier import load_classifier
from classifier.engines import remote
from classifier.engines.choose import choose_engine
from classifier.engines.process import EngineProcess, Turns
from classifier.engines.protocol import Outputs
from classifier.engines.remote import Channel, RemoteEngine
from sortline.errors import CheckpointError, ConfigurationError
from sortline.settings import Lane, Settings
from tests.conftest import environment

Eventually = Callable[..., None]
Started = tuple[Channel, subprocess.Popen[bytes]]


class LostError(Exception):
    """In place of the end of the process that asked."""


def _lost() -> NoReturn:
    raise LostError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint(tmp_path_factory.mktemp("engine") / "checkpoint").folder


@pytest.fixture(scope="module", params=["openvino", "torch"])
def engine_settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("data")
    return Settings(_env_file=None, data_dir=folder, engine=request.param, device="cpu")


@contextmanager
def _process(settings: Settings) -> Iterator[Started]:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "classifier.engines.process", str(theirs.fileno())]
    started = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment(settings))
    theirs.close()
    with ours:
        yield Channel(ours, _lost), started
    started.wait(20)


@pytest.fixture(scope="module")
def process(engine_settings: Settings) -> Iterator[Started]:
    """A process that several tests use; it ends with this one."""
    with _process(engine_settings) as (channel, started):
        yield channel, started
        assert started.poll() is None
    assert started.returncode == 0


@pytest.fixture
def used(process: Started) -> Iterator[Channel]:
    remote.use(process[0])
    yield process[0]
    remote.use(None)


def _inputs(rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(rows)
    ids = random.integers(5, 50, (rows, length))
    return ids, (np.arange(length) < random.integers(2, length + 1, rows)[:, None]).astype(np.int64)


def test_outputs_are_those_of_an_engine_in_this_process(
    process: Started, folder: Path, engine_settings: Settings
) -> None:
    here, there = choose_engine(folder, engine_settings), RemoteEngine(process[0], folder, False)
    assert (there.name, there.width, there.hidden) == (here.name, here.width, here.hidden)
    assert there.overhead == here.overhead
    assert (there.tokens_per_batch, there.slow_at_first) == (here.tokens_per_batch, here.slow_at_first)
    for rows, length in ((1, 2), (16, 9), (700, 100)):  # the last is larger than a socket's buffer
        ids, mask = _inputs(rows, length)
        for given in (mask, np.ones_like(mask)):
            for mine, theirs in zip(here.run(ids, given), there.run(ids, given), strict=True):
                assert mine.shape == theirs.shape
                np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_many_threads_get_their_own_answers(process: Started, folder: Path) -> None:
    engine = RemoteEngine(process[0], folder, False)
    work = [_inputs(rows, 12) for rows in range(1, 41)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda each: engine.run(*each), work))
    for each, answer in zip(work, together, strict=True):
        np.testing.assert_allclose(engine.run(*each).logits, answer.logits, atol=1e-5)


def test_a_classifier_loads_its_engine_there(used: Channel, folder: Path, engine_settings: Settings) -> None:
    classifier = load_classifier(str(folder), None, engine_settings)
    assert isinstance(classifier.engine, RemoteEngine)
    there = classifier.predict_proba(["where is my card", "cash"])
    remote.use(None)
    here = load_classifier(str(folder), None, engine_settings)
    assert not isinstance(here.engine, RemoteEngine)
    np.testing.assert_allclose(there, here.predict_proba(["where is my card", "cash"]), atol=1e-5)


def test_errors_keep_their_kind_and_the_process_goes_on(
    process: Started, folder: Path, engine_settings: Settings, tmp_path: Path
) -> None:
    if engine_settings.engine == "openvino":
        with pytest.raises(ConfigurationError, match="int8"):
            RemoteEngine(process[0], folder, True)
    else:
        damaged = shutil.copytree(folder, tmp_path / "damaged")
        (damaged / "model.safetensors").write_bytes(b"nothing")
        with pytest.raises(CheckpointError):
            RemoteEngine(process[0], damaged, False)
    engine = RemoteEngine(process[0], folder, False)
    ids, mask = _inputs(2, 400)  # more positions than the model has
    with pytest.raises(RuntimeError):
        engine.run(ids, mask)
    assert len(engine.run(*_inputs(2, 8)).logits) == 2


def test_whoever_asks_a_process_that_is_gone_is_ended_and_no_pass_fails(
    engine_settings: Settings, folder: Path
) -> None:
    with _process(engine_settings) as (channel, started):
        engine = RemoteEngine(channel, folder, False)
        started.kill()
        started.wait()
        with pytest.raises(LostError):
            engine.run(*_inputs(2, 8))
        with pytest.raises(LostError):
            RemoteEngine(channel, folder, False)


def test_an_engine_is_loaded_once_and_unloaded_with_its_last_user(
    process: Started, folder: Path, eventually: Eventually
) -> None:
    channel, started = process

    def links() -> int:
        found = 0
        for each in Path(f"/proc/{started.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                found += "socket" in str(each.readlink())
        return found

    before = links()
    engines = [RemoteEngine(channel, folder, False) for _ in range(3)]
    eventually(lambda: links() == before + 3)
    del engines
    eventually(lambda: links() == before)


def test_alone_waits_for_the_passes_of_others_and_keeps_new_ones_waiting() -> None:
    turns, order = Turns(), list[str]()
    running, end_it, alone = threading.Event(), threading.Event(), threading.Event()

    def pass_of(process: int, name: str) -> None:
        with turns.together(process):
            order.append(name)

    def first() -> None:
        with turns.together(1):
            running.set()
            end_it.wait(10)
            order.append("first ends")

    def alone_pass() -> None:
        with turns.alone(2):
            alone.set()
            pass_of(2, "its own pass")
            later.join(0.3)
            order.append("alone ends")

    later = threading.Thread(target=pass_of, args=(3, "later"))
    threads = [threading.Thread(target=first), threading.Thread(target=alone_pass)]
    threads[0].start()
    running.wait(10)
    threads[1].start()
    assert not alone.wait(0.2)
    later.start()
    later.join(0.2)
    assert order == []
    end_it.set()
    for each in (*threads, later):
        each.join(10)
    assert order == ["first ends", "its own pass", "alone ends", "later"]


def test_who_ends_while_it_is_alone_lets_others_go_on(process: Started, folder: Path) -> None:
    channel, _ = process
    engine = RemoteEngine(channel, folder, False)
    link = channel.link()
    channel.ask(link, {"do": "alone"})
    link.close()  # as the kernel does when a process is killed
    with channel.alone():
        assert len(engine.run(*_inputs(2, 8)).logits) == 2


class SlowEngine:
    """Computes passes slowly, and notes the first token of each."""

    name, parallel, tokens_per_batch, overhead, slow_at_first = "slow", 1, 1024, 32, False
    width = hidden = 0

    def __init__(self) -> None:
        self.ran: list[int] = []

    def run(self, input_ids: np.ndarray, _mask: np.ndarray) -> Outputs:
        self.ran.append(int(input_ids[0, 0]))
        time.sleep(0.05)
        return Outputs(input_ids.astype(np.float32), *[np.empty((len(input_ids), 0), np.float32)] * 2)


@contextmanager
def _served(folder: Path, tmp_path: Path, count: int, **more: Any) -> Iterator[tuple[SlowEngine, list[RemoteEngine]]]:
    """A slow engine that several processes use: here, threads."""
    slow = SlowEngine()
    served = EngineProcess(Settings(_env_file=None, data_dir=tmp_path, **more), lambda *_: slow)
    pairs = [socket.socketpair() for _ in range(count)]
    for number, (_, theirs) in enumerate(pairs):
        threading.Thread(target=served.serve, args=(theirs, number), daemon=True).start()
    yield slow, [RemoteEngine(Channel(ours, _lost), folder, False) for ours, _ in pairs]
    for pair in pairs:
        for each in pair:
            each.close()


def _keep_asking(engine: RemoteEngine, lane: Lane, token: int, stopping: threading.Event) -> threading.Thread:
    def ask() -> None:
        while not stopping.is_set():
            with remote.passes_of(lane):
                engine.run(np.full((2, 8), token), np.ones((2, 8), np.int64))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread


def test_live_passes_go_before_those_of_bulk_that_other_processes_asked_for(folder: Path, tmp_path: Path) -> None:
    with _served(folder, tmp_path, 3) as (slow, engines):
        stopping = threading.Event()
        busy = [_keep_asking(each, "bulk", 1, stopping) for each in engines for _ in range(4)]
        time.sleep(0.5)
        overtook = []
        for _ in range(5):
            before = len(slow.ran)
            with remote.passes_of("live") as passes:
                engines[0].run(np.full((2, 8), 9), np.ones((2, 8), np.int64))
            overtook.append(slow.ran[before:].index(9))
            assert passes.computed_s is not None and 0.05 <= passes.computed_s < 0.2
        stopping.set()
        for thread in busy:
            thread.join(20)

    # 12 passes of bulk are asked for at any time, of which two run.
    assert sorted(overtook)[2] <= 2


def test_bulk_of_one_process_keeps_its_share_beside_live_passes_of_another(folder: Path, tmp_path: Path) -> None:
    with _served(folder, tmp_path, 2, bulk_share=0.3) as (slow, (live, bulk)):
        stopping = threading.Event()
        threads = [_keep_asking(live, "live", 9, stopping) for _ in range(6)]
        threads += [_keep_asking(bulk, "bulk", 1, stopping) for _ in range(6)]
        time.sleep(4.0)
        stopping.set()
        for thread in threads:
            thread.join(20)

    shares = slow.ran[20:-12]
    assert 0.2 <= shares.count(1) / len(shares) <= 0.4


def test_an_answer_says_how_long_ago_a_live_pass_of_any_process_came(folder: Path, tmp_path: Path) -> None:
    with _served(folder, tmp_path, 2) as (_, (one, other)):
        ids, mask = _inputs(2, 8)
        with remote.passes_of("bulk") as first:
            other.run(ids, mask)
        came = time.monotonic()
        with remote.passes_of("live"):
            one.run(ids, mask)
        with remote.passes_of("bulk") as second:
            other.run(ids, mask)
            other.run(ids, mask)

    assert first.live_at == float("-inf")
    assert came - 0.01 <= second.live_at <= came + 0.05
    assert second.computed_s is not None and 0.1 <= second.computed_s < 0.4


def test_a_process_that_is_alone_has_its_turn_while_others_ask_for_more_passes_than_there_is_room(
    folder: Path, tmp_path: Path
) -> None:
    served = EngineProcess(Settings(_env_file=None, data_dir=tmp_path), lambda *_: SlowEngine())
    pairs = [socket.socketpair() for _ in range(2)]
    for number, (_, theirs) in enumerate(pairs):
        threading.Thread(target=served.serve, args=(theirs, number), daemon=True).start()
    one, other = (Channel(ours, _lost) for ours, _ in pairs)
    busy, own = RemoteEngine(one, folder, False), RemoteEngine(other, folder, False)
    ids, mask = _inputs(2, 8)
    had_its_turn, stopping = threading.Event(), threading.Event()

    def keep_busy() -> None:
        while not stopping.is_set():
            busy.run(ids, mask)

    def be_alone() -> None:
        with other.alone():
            own.run(ids, mask)
            had_its_turn.set()

    threads = [threading.Thread(target=each, daemon=True) for each in (*[keep_busy] * 6, be_alone)]
    for thread in threads:
        thread.start()
    assert had_its_turn.wait(20)
    stopping.set()
    for thread in threads:
        thread.join(20)
    for pair in pairs:
        for each in pair:
            each.close()
