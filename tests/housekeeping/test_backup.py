"""A backup while the line works, restored to another machine: everything is there, and the line goes on."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from classifier.checkpoint import Checkpoint
from classifier.checkpoint_folder import write_checkpoint
from classifier.store import ModelStore
from db.models import AuditEvent, ModelVersion
from housekeeping.erase import Chosen, Stores, erase
from housekeeping.postgres_tools import dump
from housekeeping.restore import restore
from sortline.errors import BackupError, ConflictError
from sortline.home import account
from sortline.queue import Document
from tests.conftest import until
from tests.housekeeping.conftest import House
from trainer.report.texts import TEXTS, pack_texts, unpack_texts

COUNT = 3_000


def add_trained_version(house: House, document_id: int) -> None:
    """A version whose checkpoint and report lie in the model store."""
    models = house.settings.data_dir / "models"

    def save(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "config.json").write_text("{}")
        (folder / "tokenizer.json").write_text("{}")

    description = Checkpoint.model_validate(
        {"label_ids": [1, 2], "labels": ["yes", "no"], "max_length": 8, "window_overlap": 2, "base_model": "none"}
    )
    stored = write_checkpoint(models / "run-1-1", description, save)
    (models / "run-1-1.report").mkdir()
    (models / "run-1-1.report" / TEXTS).write_text(pack_texts({str(document_id): "gone", "2": "kept"}))
    with house.session() as opened:
        opened.add(ModelVersion(
            status="retired", checkpoint_uri=str(models / "run-1-1"), sha256=stored.sha256, base_model="none",
            label_ids=[1, 2], metrics={"report": str(models / "run-1-1.report")},
        ))  # fmt: skip
        opened.commit()


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Path]]:
    """A house whose backup was made while it worked; one document was erased after it."""
    tmp_path = tmp_path_factory.mktemp("backup")
    (tmp_path / "a").mkdir()
    with House(tmp_path / "a").up() as house:
        house.add_model()
        house.send(Document("erased", "a text"), Document("kept", "a text"))
        with house.working():
            until(lambda: len(house.events()) == 2)
            add_trained_version(house, house.count("SELECT id FROM documents WHERE external_id = 'erased'"))
            house.client.xgroup_create(house.settings.results_stream, "crm", id="0")
            house.client.xreadgroup("crm", "reader", {house.settings.results_stream: ">"}, count=1)
            house.queue.append([Document("erased", "SLOW, waits"), Document("slow", "SLOW")], "bulk")
            for start in range(0, COUNT, 500):
                house.send(*(Document(f"d{i}", "a text") for i in range(start, start + 500)))
            done = house.sortline("backup", str(tmp_path / "backup"), "--json")
        assert done.returncode == 0, done.stderr
        stores = Stores(house.settings.postgres_url, house.client, house.settings.streams)
        assert json.loads(done.stdout)["damaged"] == [1]  # the faulty one is no checkpoint
        erase(stores, Chosen([("default", "erased")]), "test", "source and id")
        (tmp_path / "erased.jsonl").write_text(house.sortline("erase", "--list").stdout)
        yield house, tmp_path / "backup"


@pytest.mark.timeout(150)
def test_restored_to_another_machine_the_line_goes_on(backed_up: tuple[House, Path], tmp_path: Path) -> None:
    before, backup = backed_up
    (tmp_path / "b").mkdir()
    house = House(tmp_path / "b")

    done = house.sortline("restore", str(backup), "--erased", str(backup.with_name("erased.jsonl")))

    assert done.returncode == 0, done.stderr
    with house.up():
        house.work_off()
        with house.session() as opened:
            names = opened.execute(text("SELECT external_id FROM documents ORDER BY id")).scalars().all()
            version = opened.get_one(ModelVersion, 2)
            row = opened.execute(select(AuditEvent).where(AuditEvent.action == "restored")).scalar_one()
        assert (row.actor, row.subject) == (account(), "backup")
        made = json.loads((backup / "manifest.json").read_bytes())
        assert row.detail.pop("erased_again") > 0
        assert row.detail == {"backup": "backup", "made_at": made["made_at"], "counts": made["counts"]}
        assert sorted(names) == sorted(["kept", "slow", *(f"d{i}" for i in range(COUNT))])  # each once, none lost
        assert house.count("SELECT count(*) FROM predictions") == COUNT + 2
        assert {name for name, _ in house.events()} >= {f"d{i}" for i in range(COUNT)}
        # A consumer goes on before what it took and did not finish.
        ((_, events),) = house.client.xreadgroup("crm", "reader", {house.settings.results_stream: ">"}, count=2)
        assert len(events) == 2
        # The checkpoint and the report are found at their new place, without what was erased.
        store = ModelStore(house.settings.models, tmp_path)
        assert store.fetch(version.checkpoint_uri, version.sha256).is_relative_to(tmp_path / "b")
        report = Path(version.metrics["report"]) / TEXTS
        assert report.is_relative_to(tmp_path / "b") and unpack_texts(report.read_bytes()) == {"2": "kept"}
        # Entry ids go on where they were, so what is sent now is newer.
        assert house.send(Document("new", "x"))[0] > before.client.xinfo_stream(before.settings.stream("live"))[
            "last-generated-id"].decode()  # fmt: skip
        with pytest.raises(ConflictError, match="--force"):
            restore(house.settings, backup, "tests")


def test_a_damaged_or_incomplete_backup_is_refused(backed_up: tuple[House, Path], tmp_path: Path) -> None:
    house, whole = backed_up
    backup = shutil.copytree(whole, tmp_path / "copy")
    with (backup / "redis-live.entries").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BackupError, match=r"redis-live\.entries has changed since it was written"):
        restore(house.settings, backup, "tests", force=True)
    told = json.loads((whole / "manifest.json").read_bytes())
    shutil.copy(whole / "redis-live.entries", backup)
    (backup / "manifest.json").write_text(json.dumps({**told, "schema": "9999"}))
    with pytest.raises(BackupError, match="newer Sortline"):
        restore(house.settings, backup, "tests", force=True)
    (backup / "manifest.json").unlink()
    with pytest.raises(BackupError, match="not a complete backup"):
        restore(house.settings, backup, "tests", force=True)
    assert house.sortline("backup", str(backup)).returncode == 1  # the folder is not empty
    assert house.sortline("restore", str(backup)).returncode == 1  # something runs here
    assert house.count("SELECT count(*) FROM documents") > 10


def test_programs_that_are_too_old_for_the_server_are_named(backed_up: tuple[House, Path], tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"pg_dump 99 or newer is needed \(.*pg_dump is \d+"):
        dump(backed_up[0].settings.postgres_url, 99, tmp_path / "file")
