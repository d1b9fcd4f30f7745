"""The log files of `sortline up`."""

from pathlib import Path

import pytest

from sortline import log_files
from sortline.log_files import LogFiles


def test_each_process_has_its_file_and_they_do_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "_MOST_BYTES", 1000)
    logs = LogFiles(tmp_path / "logs")
    for i in range(1000):
        logs.write("web", f"line {i}")
    logs.write("worker", "100 % done: ü \udcff")
    logs.close()

    assert logs.path("worker").read_text(encoding="utf-8") == "100 % done: ü \\udcff\n"
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["web.log", "web.log.1", "web.log.2", "web.log.3", "worker.log"]
    assert all(path.stat().st_size <= 1000 for path in (tmp_path / "logs").iterdir())
    assert logs.path("web").read_text().splitlines()[-1] == "line 999"


def test_a_full_disk_stops_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "web.log").symlink_to("/dev/full")
    logs = LogFiles(tmp_path)
    for _ in range(10):
        logs.write("web", "x" * 10_000)
    logs.write("worker", "goes on")
    logs.close()
    assert logs.path("worker").read_text() == "goes on\n"
    assert capfd.readouterr() == ("", "")
