"""The command line, run in processes of its own on real servers."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import click
import pytest
import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import ApiToken, AuditEvent, DeadLetter
from db.models import Document as StoredDocument
from db.queries import people
from sortline.cli import _COMMANDS, module_of
from sortline.queue import Document, DocumentQueue, pack_entry
from sortline.settings import Settings
from tests import loaded
from tests.conftest import ROOT, environment

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help(sortline: Run, name: str) -> None:
    answer = sortline(name, "--help")

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith(f"Usage: sortline {name}")


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command: click.Command = import_module(module_of(name)).command

    assert _COMMANDS[name] == command.get_short_help_str(200)


def test_the_list_of_commands_is_there_without_loading_them() -> None:
    code = "import sys; from sortline.cli import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert "  webhooks   Manage webhooks" in answer.stdout
    assert not {"sqlalchemy", "pydantic", "redis", "numpy"} & set(answer.stdout.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",), ("enqueue",), ("enqueue", "missing.csv"), ("status", "--wrong"), ("tokens", "add"),
        ("dead", "requeue"), ("dead", "requeue", "1", "--all"), ("erase",), ("erase", "--source", "mail"),
        ("erase", "--meta", "customer"), ("retention", "--label", "card"), ("restore", "missing"),
    ],
)  # fmt: skip
def test_wrong_use_exits_2(sortline: Run, arguments: tuple[str, ...]) -> None:
    answer = sortline(*arguments)

    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr


def test_enqueue_sends_good_rows_and_names_bad_ones(
    sortline: Run, settings: Settings, redis_client: redis.Redis, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("id,text\n1,hello\n2,\n3,world\n", encoding="utf-8")

    answer = sortline("enqueue", "in.csv", "--source", "mail", "--lane", "live", "--json")

    assert answer.returncode == 3
    assert answer.stderr.strip() == "in.csv: line 3: the text is empty"
    summary = json.loads(answer.stdout)
    assert (summary["sent"], summary["bad"], summary["lane"]) == (2, 1, "live")
    entries = [fields for _, fields in redis_client.xrange(settings.stream("live"))]
    assert [(e[b"id"], e[b"source"]) for e in entries] == [(b"1", b"mail"), (b"3", b"mail")]


def test_enqueue_sends_nothing_of_a_file_whose_encoding_is_a_guess(
    sortline: Run, settings: Settings, redis_client: redis.Redis, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes("text,label\nGrüße,card\nes kostet 20 €,card\n".encode("cp1252"))

    answer = sortline("enqueue", "in.csv")
    assert answer.returncode == 1
    assert "--encoding cp1252" in answer.stderr
    assert redis_client.xlen(settings.stream("bulk")) == 0

    assert sortline("enqueue", "in.csv", "--encoding", "ansi").returncode == 0
    texts = [fields[b"text"].decode() for _, fields in redis_client.xrange(settings.stream("bulk"))]
    assert texts == ["Grüße", "es kostet 20 €"]


def test_enqueue_names_what_is_no_file_of_texts(
    sortline: Run, settings: Settings, redis_client: redis.Redis, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes(b"%PDF-1.7 and so on")

    answer = sortline("enqueue", "in.csv")

    assert answer.returncode == 1
    assert "is a PDF document" in answer.stderr
    assert redis_client.xlen(settings.stream("bulk")) == 0


def test_enqueue_does_not_look_at_labels(
    sortline: Run, settings: Settings, redis_client: redis.Redis, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(f"text,label\nwhere is it,{'x' * 201}\nover there,so\u200bft\n", encoding="utf-8")
    (tmp_path / "in.jsonl").write_text('{"text":"it is late","label":"card","answer":"reject"}\n', encoding="utf-8")

    assert [sortline("enqueue", name).returncode for name in ("in.csv", "in.jsonl")] == [0, 0]

    texts = [fields[b"text"].decode() for _, fields in redis_client.xrange(settings.stream("bulk"))]
    assert texts == ["where is it", "over there", "it is late"]


def test_enqueue_says_how_it_reads_a_file(sortline: Run, redis_client: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("nr;Text;Label\n1;where is it;card\n", encoding="utf-8")
    (tmp_path / "in.txt").write_text("where is it\n", encoding="utf-8")

    lines = sortline("enqueue", "in.csv").stdout.splitlines()
    assert lines[:2] == ["delimited text (semicolon, quoting rfc4180), utf-8", "text: Text (by its name)"]
    assert lines[2].startswith("1 document sent to lane bulk")
    assert sortline("enqueue", "in.txt").stdout.startswith("one text per line, utf-8\n1 document sent")


def test_import_says_how_it_would_read_a_file_and_stores_nothing(
    sortline: Run, session: Session, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("sep=;\nText;Label\nwhere is it;card\nover there;late\n;card\n", encoding="utf-8")

    answer = sortline("import", "in.csv", "--dry-run")

    assert answer.returncode == 3, answer.stderr
    assert "delimited text (semicolon, quoting rfc4180), utf-8" in answer.stdout
    assert "text: Text (by its name)" in answer.stdout
    assert "nothing was stored" in answer.stdout
    assert session.scalars(select(StoredDocument)).all() == []


def test_enqueue_reads_standard_input(sortline: Run, settings: Settings, redis_client: redis.Redis) -> None:
    answer = sortline("enqueue", "-", "--format", "lines", input="one\ntwo\n")

    assert answer.returncode == 0, answer.stderr
    assert redis_client.xlen(settings.stream("bulk")) == 2


def test_status_for_programs(sortline: Run, settings: Settings, redis_client: redis.Redis) -> None:
    DocumentQueue(redis_client, settings).append([Document("1", "hello")])

    answer = sortline("status", "--json")

    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert set(found) == {
        "redis_url", "database_url", "web_url", "flower_url", "lanes", "pending", "dead", "active_model", "starter",
        "workers", "rate", "queue", "training", "alarms", "estimated", "shortcomings", "unpredicted", "note",
        "search_behind", "search_behind_s",
    }  # fmt: skip
    assert found["lanes"]["live"]["backlog"] == 1 and found["lanes"]["live"]["oldest_s"] >= 0
    assert found["lanes"]["bulk"] == {"backlog": 0, "oldest_s": None}
    assert (found["search_behind"], found["search_behind_s"]) == (0, 0)
    assert found["database_url"].startswith("postgresql://")
    assert (found["active_model"], found["workers"]) == (None, [])
    assert all(set(alarm) == {"name", "said", "do"} for alarm in found["alarms"])
    assert [alarm["name"] for alarm in found["alarms"]][:1] == ["SortlineNoWorker"]
    assert (found["unpredicted"], found["note"]) == (0, "No model yet: documents are stored and wait for a model.")


def test_status_loads_no_mapper_of_tables_and_nothing_that_computes(
    settings: Settings, redis_client: redis.Redis
) -> None:
    code = "import sys; from sortline.cli import cli; cli(['status', '--json'], standalone_mode=False); print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment(settings)
    )
    told, loaded = found.stdout.splitlines()

    assert json.loads(told)["pending"] == 0
    heavy = {
        "sqlalchemy",
        "opentelemetry.sdk.metrics",
        "celery",
        "kombu",
        "numpy",
        "torch",
        "prometheus_client",
        "rich",
        "fastapi",
    }
    assert {"psycopg", "redis", "monitoring.status"} < set(loaded.split())  # the names are right
    assert not heavy & set(loaded.split())


def test_status_for_people_says_why_documents_wait(
    sortline: Run, settings: Settings, redis_client: redis.Redis
) -> None:
    DocumentQueue(redis_client, settings).append([Document("1", "hello")])

    answer = sortline("status")

    assert "No model yet: documents are stored and wait for a model." in answer.stdout
    assert "No worker is running" in answer.stdout
    assert "sortline train" in answer.stdout


def test_status_says_that_one_label_is_not_enough(sortline: Run) -> None:
    sortline("labels", "add", "card")
    assert (
        "One label is named; suggestions begin with the second."
        in json.loads(sortline("status", "--json").stdout)["note"]
    )
    sortline("labels", "add", "cash")
    assert "One label" not in json.loads(sortline("status", "--json").stdout)["note"]


def test_passwords_are_hidden() -> None:
    from sortline.cli.status import _urls

    hidden = Settings(
        _env_file=None, database_url="postgres://me:s3cret@db/x?password=s3cret", redis_url="redis://:s3cret@cache/0"
    )

    assert "s3cret" not in json.dumps(_urls(hidden, show_secrets=False))
    assert _urls(hidden, show_secrets=True)["redis_url"] == "redis://:s3cret@cache/0"


@pytest.mark.parametrize(
    ("variable", "url"),
    [("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none"), ("REDIS_URL", "redis://127.0.0.1:9/0")],
)
@pytest.mark.parametrize("command", [("status",), ("status", "--json")])
def test_a_server_away_is_one_line_and_exit_1(
    settings: Settings, tmp_path: Path, variable: str, url: str, command: tuple[str, ...]
) -> None:
    given = environment(settings, **{f"SORTLINE_{variable}": url})
    answer = loaded.run(["sortline", *command], tmp_path, given)

    assert answer.returncode == 1
    assert answer.stdout == ""
    assert len(answer.stderr.strip().splitlines()) == 1 and "can't be reached" in answer.stderr


def test_tokens(sortline: Run, session: Session) -> None:
    token = sortline("tokens", "add", "crm", "--expires", "90d").stdout.strip()
    again = sortline("tokens", "add", "crm")
    listed = json.loads(sortline("tokens", "list", "--json").stdout)
    said = sortline("tokens", "list").stdout
    wrong = sortline("tokens", "add", "x", "--expires", "soon")
    revoked = sortline("tokens", "revoke", "crm")

    assert token.startswith("sl_") and len(token) > 40
    assert again.returncode == 1 and len(again.stderr.strip().splitlines()) == 1
    assert [(t["name"], t["scopes"], t["revoked"]) for t in listed] == [("crm", ["documents"], False)]
    left = datetime.fromisoformat(listed[0]["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < left < timedelta(days=90)
    assert "crm: documents, expires " in said and "never used" in said
    assert wrong.returncode == 2 and "12h, 90d or 8w" in wrong.stderr
    assert revoked.returncode == 0
    audited = [row.action for row in session.query(AuditEvent).order_by(AuditEvent.id)]
    assert audited == ["token made", "token revoked"]
    row = session.scalars(select(ApiToken)).one()
    assert row.revoked_at is not None and token.encode() not in row.token_hash
    assert sortline("tokens", "revoke", "crm").returncode == 1


def test_users(sortline: Run, session: Session) -> None:
    link = sortline("users", "add", "ann", "--role", "lead").stdout.strip()
    again = sortline("users", "add", "ann")
    other = sortline("users", "link", "ann").stdout.strip()
    sortline("users", "role", "ann", "admin")
    sortline("users", "disable", "ann")
    (listed,) = json.loads(sortline("users", "list", "--json").stdout)

    assert link.startswith("http://127.0.0.1:8080/sign-in/")
    assert (again.returncode, again.stderr.strip()) == (1, "sortline: there is a user ann already")
    assert other.startswith("http://127.0.0.1:8080/sign-in/") and other != link
    assert [listed[each] for each in ("name", "role", "password", "disabled")] == ["ann", "admin", False, True]
    assert people.use_link(session, other.rpartition("/")[2]) is None  # who is disabled has no link any more
    assert sortline("users", "enable", "ann").returncode == 0
    for arguments in (("link", "bob"), ("role", "bob", "lead"), ("disable", "import")):
        assert sortline("users", *arguments).returncode == 1
    actions = [row.action for row in session.scalars(select(AuditEvent).order_by(AuditEvent.id))]
    assert actions == ["user added", "link made", "link made", "user role", "user disabled", "user enabled"]


def test_dead_letters_go_round(sortline: Run, settings: Settings, session: Session, redis_client: redis.Redis) -> None:
    fields = [(b"id", b"1"), (b"text", b"\xff\x00raw"), (b"text", b"twice")]
    columns = {"lane": "bulk", "detail": "it broke", "attempts": 5, "source": "mail", "external_id": "1"}
    kept = DeadLetter(entry_id="1-0", reason="bad_entry", raw=pack_entry(fields), **columns)
    other = DeadLetter(entry_id="2-0", reason="failed", raw=pack_entry([(b"id", b"2")]), **columns)
    session.add_all([kept, other])
    session.commit()

    listed = json.loads(sortline("dead", "list", "--reason", "bad_entry", "--json").stdout)
    assert [row["id"] for row in listed] == [kept.id]
    assert "it broke" in sortline("dead", "list").stdout

    assert json.loads(sortline("dead", "requeue", str(kept.id), "--json").stdout) == {"requeued": 1}
    # Through a script: redis-py would make a dict of the fields, which keeps the last of two of a name.
    ((_, sent),) = redis_client.eval("return redis.call('XRANGE', KEYS[1], '-', '+')", 1, settings.stream("bulk"))
    assert sent == [part for field in fields for part in field]
    assert sortline("dead", "requeue", str(kept.id)).returncode == 1  # it is on its way already

    assert json.loads(sortline("dead", "requeue", "--all", "--json").stdout) == {"requeued": 1}
    assert json.loads(sortline("dead", "list", "--json").stdout) == []
    assert redis_client.xlen(settings.stream("bulk")) == 2


def test_doctor(sortline: Run) -> None:
    answer = sortline("doctor", "--json")

    found = {finding["name"]: finding for finding in json.loads(answer.stdout)["findings"]}
    assert answer.returncode == (1 if any(f["level"] == "fail" for f in found.values()) else 0)
    assert found["schema"]["level"] == found["Postgres"]["level"] == found["Redis"]["level"] == "ok"
    assert found["active model"]["level"] == "warn" and "sortline train" in found["active model"]["advice"]


def test_doctor_says_what_to_do_about_servers_that_are_away(tmp_path: Path) -> None:
    from sortline.cli.examine import examine

    away = Settings(_env_file=None, database_url="postgresql://127.0.0.1:9/x", redis_url="redis://127.0.0.1:9/0",
                    data_dir=tmp_path)  # fmt: skip
    found = {finding.name: finding for finding in examine(away)}

    assert found["Postgres"].level == found["Redis"].level == "fail"
    assert found["Postgres"].advice and found["Redis"].advice
