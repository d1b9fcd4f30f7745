"""What `sortline up` shows: what runs where and how to sign in, then promotions and alarms."""

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy.exc import SQLAlchemyError

from db.queries import people
from db.session import session
from sortline.cli.ends import Ends
from sortline.cli.supervisor import Supervisor
from sortline.errors import SortlineError
from sortline.home import account
from sortline.listening import is_loopback, url_of
from sortline.postgres_address import PostgresAddress
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings
from web.line.glance import AwayError, Glance

_EVERY_S = 5.0
_AGAIN_S = 600.0  # until an alarm whose figures have changed is shown again
_PATIENCE_S = 60.0  # for the web to start
# True after every start, so these alarms tell nothing to a person who has just started Sortline.
_OF_A_START = {"SortlineNoWorker", "SortlineHousekeepingStopped"}


class Overview:
    """Shows the important events of a running `sortline up`.

    Args:
        say: is called with a sentence.
        whisper: is called with a sentence that must not be written to a file.
        logs: the folder of the log files.
    """

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        ends: Ends,
        say: Callable[[str], None],
        whisper: Callable[[str], None],
        logs: Path,
    ) -> None:
        self.settings = settings
        self.supervisor = supervisor
        self.ends = ends
        self.say = say
        self.whisper = whisper
        self.logs = logs
        self._glance = Glance(settings, DocumentQueue(connect(settings.redis, socket_timeout=5), settings))
        self._wrong: dict[str, tuple[str, float]] = {}  # each alarm's sentence, and when it was shown

    def run(self, stopping: threading.Event) -> None:
        """Show what runs where once it runs, then what is new every few seconds; meant for a thread of its own."""
        if "web" in self.supervisor.commands:
            self._until_it_answers(stopping)
        if stopping.is_set():
            return
        model = self._begin()
        self.say(f"logs: {self.logs} (--verbose shows them here too). Ctrl-C stops everything.")
        while not stopping.wait(_EVERY_S):
            self.ends.report_recoveries()
            with suppress(SQLAlchemyError):  # the next check comes soon
                model = self._show_news(model, stopping)

    def _until_it_answers(self, stopping: threading.Event) -> None:
        patience = time.monotonic() + _PATIENCE_S
        while not (self._listens("web") and answers(self.settings.web_host, self.settings.web_port)):
            if stopping.wait(0.3):
                return
            if time.monotonic() > patience:
                self.say(f"the web does not answer yet; see its log {self.logs / 'web.log'}")
                patience = float("inf")
            self.ends.report_recoveries()
        self.say(f"web: {self.settings.web_address}")
        if "flower" in self.supervisor.commands:
            self.say(f"Flower: {self.settings.flower_address}")

    def _listens(self, name: str) -> bool:
        """Whether this process listens, and not another program on its port."""
        for child in self.supervisor.processes:
            if child.name == name and child.process is not None:
                with suppress(psutil.Error):
                    leader = psutil.Process(child.process.pid)
                    return any(_has_a_port(each) for each in (leader, *leader.children(recursive=True)))
        return False

    def _begin(self) -> int | None:
        """Show what a new installation lacks; returns the active model version."""
        try:
            found = self._glance.figures.get()
            told = self._sign_in() if "web" in self.supervisor.commands else None
        except (SortlineError, SQLAlchemyError):
            return None  # the checks below report it
        if not found["active_model"]:
            self.say(f"{found['note']} Name labels at the web's page on labels, or run `sortline import FILE`.")
        if told:
            self.whisper(told)
        model: int | None = found["active_model"]
        return model

    def _sign_in(self) -> str | None:
        shows_link = is_private(self.settings.web_host, self.settings.web_url) or sys.stdout.isatty()
        return sign_in(self.settings.postgres_url, self.settings.web_address, shows_link)

    def _show_news(self, model: int | None, stopping: threading.Event) -> int | None:
        """Show what is new; returns the model version that is active now."""
        try:
            found = self._glance.figures.get()
        except AwayError as away:
            if not stopping.is_set():
                self._show_alarms([away.alarm._asdict()])
            return model
        live: int | None = found["active_model"]
        if live is not None and live != model:
            self.say(f"model version {live} is active")
        self._show_alarms([alarm for alarm in found["alarms"] if alarm["name"] not in _OF_A_START])
        return live

    def _show_alarms(self, alarms: Sequence[Mapping[str, Any]]) -> None:
        now, names = time.monotonic(), {alarm["name"] for alarm in alarms}
        for name in [name for name in self._wrong if name not in names]:
            said, _ = self._wrong.pop(name)
            self.say(f"resolved: {said}")
        for alarm in alarms:
            said, at = self._wrong.get(alarm["name"], ("", 0.0))
            if not said or (said != alarm["said"] and now - at > _AGAIN_S):
                self._wrong[alarm["name"]] = (alarm["said"], now)
                self.say(f"{alarm['said']} {alarm['do']}")


def answers(host: str, port: int) -> bool:
    """Whether something answers at the web's address."""
    try:
        httpx.get(f"{url_of(host, port)}/health/live", timeout=2, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return True


def is_private(web_host: str, web_url: str | None) -> bool:
    """Whether the web can be reached from this machine alone."""
    return is_loopback(web_host) and not web_url


def sign_in(postgres: PostgresAddress, web_address: str, shows_link: bool) -> str | None:
    """How to sign in, for an installation where nobody has signed in yet; None if somebody can.

    Only the first person gets a link.

    Args:
        shows_link: whether that person may get it here: someone reads it at once (on a terminal), or the web can be
            reached from this machine alone, so that a link kept in a journal is of no use from elsewhere.
    """
    with session(postgres) as opened:
        if people.can_sign_in(opened):
            return None
        known = people.listing(opened)
        if known:
            return f"Nobody has signed in yet. To get a sign-in link, run `sortline users link {known[0].name}`."
        if not shows_link:
            return "Nobody can sign in yet. To get a sign-in link, run `sortline users add NAME --role admin`."
        user = people.add(opened, account(), "admin", account())
        token = people.make_link(opened, user, account())
        opened.commit()
    return f"Sign in as the first user (the link works once): {web_address}/sign-in/{token}"


def _has_a_port(process: psutil.Process) -> bool:
    return any(each.status == psutil.CONN_LISTEN for each in process.net_connections("tcp"))
