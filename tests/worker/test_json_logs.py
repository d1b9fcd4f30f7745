"""A worker's log as JSON: which document, which micro-batch, and never a text."""

import json

import pytest

pytestmark = pytest.mark.usefixtures("model")


def test_lines_name_documents_and_batches_and_hold_no_text(line, start_worker, eventually) -> None:
    worker = start_worker({"log_format": "json", "log_level": "DEBUG"})
    line.send({"good": "a private text", "bad\nforged": "RAISE another private text"})
    eventually(lambda: line.letters() and line.backlog() == 0)
    worker.terminate()

    said = worker.log.read_text()
    told = [json.loads(each) for each in said.splitlines() if each.startswith("{")]
    failed = [each for each in told if each.get("document") == "bad\nforged"]
    done = [each for each in told if "default/good" in each.get("documents", [])]
    assert {"source": "default", "lane": "live"}.items() <= failed[0].items()
    assert len(done[0]["batch"]) == 36
    assert "private text" not in said
