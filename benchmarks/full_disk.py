"""`full_disk_postgres`, `full_disk_redis`: a server's disk fills up under load, and is given room again.

The server's data lie on a small disk of their own, which a file fills to the last byte; documents come over HTTP and
by plain XADD all the while. Needs the right to mount (root).
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import redis
from sqlalchemy.exc import DBAPIError

from benchmarks.api_token import TOKEN, add_token
from benchmarks.model import register_stub
from benchmarks.stack import Stack, free_port, result, say, stack, stored
from db.connection import get_engine
from db.queries import dead_letter_counts
from db.session import session
from sortline.child import Child

_TEXT = " ".join(f"word{number}" for number in range(80))
_HEALS_WITHIN_S = 180.0


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A disk in memory of that size, mounted; it is unmounted whatever happens.

    Raises:
        SystemExit: this user may not mount.
    """
    place = Path(tempfile.mkdtemp(prefix="sortline-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "sortline", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        place.rmdir()
        raise SystemExit("this line mounts a small disk, which only root may: not run")
    try:
        yield place
    finally:
        # Lazily: a server that was killed a moment ago may still let go of its files.
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()


def fill(disk: Path) -> Path:
    """Fill a disk to the last byte; to remove the returned file gives the room back."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast


class Senders:
    """Documents over HTTP and by plain XADD until stopped: what was accepted, and what the refusals said."""

    def __init__(self, made: Stack, url: str) -> None:
        self.made = made
        self.accepted: set[str] = set()
        self.refused: dict[str, int] = {}
        self.accepted_at = 0.0
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._post, self._append)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._http.close()

    def _post(self) -> None:
        number, size = 0, 20
        while not self._stop.wait(0.02):
            ids = [f"h{number + i}" for i in range(size)]
            documents = [{"id": id, "text": f"{_TEXT} {id}"} for id in ids]
            answer = self._http.post("/v1/documents", json={"documents": documents})
            if answer.status_code == 202:
                self.accepted_at = time.monotonic()
                self.accepted.update(ids)
                number += size
                continue
            if answer.status_code != 503 or "Retry-After" not in answer.headers:
                say(f"an answer that is neither 202 nor 503 with Retry-After: {answer.status_code} {answer.text}")
            why = answer.json()["detail"]
            self.refused[why] = self.refused.get(why, 0) + 1
            self._stop.wait(0.2)  # sooner than Retry-After says: how soon it heals is measured

    def _append(self) -> None:
        number = 0
        with redis.Redis.from_url(self.made.settings.redis.url, retry=None) as client:
            while not self._stop.wait(0.005):
                entry = {"id": f"x{number}", "text": f"{_TEXT} x{number}"}
                try:
                    client.xadd(self.made.settings.stream("bulk"), entry)
                except redis.exceptions.RedisError:
                    self._stop.wait(0.2)  # not accepted, or unknown: the same id is sent again
                    continue
                self.accepted.add(entry["id"])
                number += 1


def full_disk_postgres(full_s: float = 60.0) -> int:
    """The disk under Postgres, its write-ahead log included; web and worker know nothing of where it is."""
    return _run("postgres", 400, full_s)


def full_disk_redis(full_s: float = 30.0) -> int:
    """The disk under an embedded Redis with `appendfsync always`, which then ends again and again."""
    return _run("redis", 200, full_s)


def _run(server: str, megabytes: int, full_s: float) -> int:
    """Fields: documents (accepted by HTTP or XADD), lost, duplicates (of rows), dead, full_s, refused_503 and said
    (what the refusals said), stored_while_full, healed_s (from the disk's room to the first document accepted over
    HTTP), drained_s (until nothing was left), server_restarts, worker_restarts, worker_busy (share of a core while it
    was full).
    """
    with ExitStack() as opened:
        disk = opened.enter_context(small_disk(megabytes))
        made, worker = _line_on(disk, server, opened)
        senders = Senders(made, _url(made))
        time.sleep(5)

        ballast, busy = fill(disk), _busy_s(worker)
        time.sleep(2)  # for what was on its way
        before = len(stored(made))
        say(f"full, {len(senders.accepted):,} documents accepted so far")
        time.sleep(full_s / 2)
        while_full = len(stored(made)) - before
        if server == "postgres":
            _use_up_the_log(made)
        time.sleep(full_s / 2)
        busy = _busy_s(worker) - busy
        refused = dict(senders.refused)

        freed = time.monotonic()
        ballast.unlink()
        _wait(lambda: senders.accepted_at > freed)
        healed = senders.accepted_at - freed
        time.sleep(3)
        senders.stop()
        _wait(lambda: not made.backlog())
        rows = stored(made)
        with session(made.settings.postgres_url) as database:
            dead = dead_letter_counts.count(database)
        lost = len(senders.accepted - set(rows))
        result(
            f"full_disk_{server}",
            documents=len(senders.accepted),
            lost=lost,
            duplicates=sum(count - 1 for count in rows.values()),
            dead=dead,
            full_s=full_s,
            refused_503=sum(refused.values()),
            said=refused,
            stored_while_full=while_full,
            healed_s=round(healed, 1),
            drained_s=round(time.monotonic() - freed, 1),
            server_restarts=made.servers[server].started_again,
            worker_restarts=worker.started_again,
            worker_busy=round(busy / full_s, 2),
        )
    if not refused:
        raise SystemExit("the disk never was full: this test can't see a loss")
    return lost


def _line_on(disk: Path, server: str, opened: ExitStack) -> tuple[Stack, Child]:
    """A line with a server's data on a disk, and its worker; web and worker run until the stack is closed."""
    made = opened.enter_context(
        stack("full_disk", on={server: disk}, classifier="benchmarks.stub:load", claim_idle_s=2.0,
              watch_interval_s=0.3, web_port=free_port())
    )  # fmt: skip
    register_stub(made)
    add_token(made)
    log = opened.enter_context((made.settings.data_dir / "worker.log").open("w", encoding="utf-8"))
    # With a URL it is an outside server to them, of whose disk they hear by its refusals alone.
    outside = {"SORTLINE_DATABASE_URL": made.settings.postgres_url.url} if server == "postgres" else {}
    celery = ["-m", "celery", "-A", "worker", "worker", "--loglevel=INFO", "--without-mingle", "--without-gossip"]
    web, worker = (
        Child(name, [sys.executable, *arguments], lambda name, line: print(name, line, file=log, flush=True),
              made.environment(**outside))
        for name, arguments in (("web", ["-m", "web"]), ("worker", celery))
    )  # fmt: skip
    for child in (web, worker):
        child.start()
        opened.callback(_end, child)
    made.wait_ready()
    _wait(lambda: _answers(_url(made)))
    return made, worker


def _url(made: Stack) -> str:
    return f"http://127.0.0.1:{made.settings.web_port}"


def _use_up_the_log(made: Stack) -> None:
    """Let Postgres need new segments of its log: without room for one it ends all connections and starts anew."""
    with suppress(DBAPIError), get_engine(made.settings.postgres_url).connect() as connection:
        for _ in range(100):
            connection.exec_driver_sql("SELECT pg_logical_emit_message(false, 'full', 'x'), pg_switch_wal()")
    say("Postgres has no room for its log either")


def _busy_s(child: Child) -> float:
    assert child.process is not None
    times = psutil.Process(child.process.pid).cpu_times()
    return float(times.user + times.system)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").is_success
    except httpx.TransportError:
        return False


def _wait(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + _HEALS_WITHIN_S
    while not what():
        if time.monotonic() > deadline:
            raise SystemExit(f"it does not heal within {_HEALS_WITHIN_S:g} s")
        time.sleep(0.05)


def _end(child: Child) -> None:
    child.ask_to_stop()
    child.wait(30)
