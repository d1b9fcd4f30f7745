"""A Redis of a test's own, which may be stopped, and processes on it that are started again as `sortline up` does."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from sortline.child import Child
from sortline.redis_server import redis_server
from sortline.settings import Settings
from tests import loaded
from tests.conftest import ROOT, environment, find_free_port, until

WORKER = "celery -A worker worker --without-gossip --without-mingle"
TRAINER = "celery -A trainer worker --without-gossip --without-mingle -Q training --pool=threads -c 1 -n trainer@%h"
HOUSEKEEPING = TRAINER.replace("training", "housekeeping").replace("trainer", "housekeeping")
BEAT = "celery -A housekeeping beat -s beat-schedule"
DEAF_TRAINER = TRAINER.replace("-A trainer", "-A deaf")  # tests/worker/deaf.py

Start = Callable[..., Child]


class OwnRedis:
    """A Redis over TCP that keeps its data when it is started again; ``more``: further options of its own."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.port = find_free_port()
        options = {"port": self.port, "bind": "127.0.0.1", "dir": folder, "appendonly": "yes", "save": "''"}
        parts = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        parts += [part for name, value in more.items() for part in (f"--{name.replace('_', '-')}", *value.split())]
        self.command = [redis_server(folder).program, *parts]
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.child = Child("redis", self.command, lambda *_: None)
        self.child.start()
        until(self.answers)

    def answers(self) -> bool:
        with suppress(redis.exceptions.RedisError):
            return bool(self.client.ping())
        return False

    def stop(self) -> None:
        """Stop it, as a restart does."""
        self.child.ask_to_stop()
        self.child.wait(20)


@contextmanager
def own_redis(folder: Path, **more: str) -> Iterator[OwnRedis]:
    """A Redis for the block."""
    made = OwnRedis(folder, **more)
    try:
        yield made
    finally:
        made.client.close()
        made.stop()


@contextmanager
def supervised(settings: Settings, folder: Path) -> Iterator[Start]:
    """Starts `python -m COMMAND` with these settings and more variables; all of them end with the block."""
    started: list[Child] = []
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests/worker")])

    def write(name: str, line: str) -> None:
        with (folder / "log").open("a") as log:
            log.write(f"{name}: {line}\n")

    def start(command: str, **more: str) -> Child:
        variables = environment(settings, PYTHONPATH=paths, **more)
        child = Child(command, f"cd {folder}; exec {loaded.interpreter()} -m {command}", write, variables)
        child.start()
        started.append(child)
        return child

    try:
        yield start
    finally:
        for child in started:
            child.ask_to_stop()
        for child in started:
            child.wait(20)
