"""The Python client and `sortline enqueue --url` through the real web."""

import json
from datetime import date
from pathlib import Path

import httpx
import orjson
import pytest
import redis
from sqlalchemy.orm import Session

from sortline.client import Client, Document
from sortline.errors import InvalidDocumentError
from sortline.settings import Settings
from tests import loaded
from tests.conftest import environment
from tests.web.conftest import TOKEN
from tests.web.test_document_state import WEIRD, classified


@pytest.mark.parametrize("name", WEIRD)
def test_a_state_is_read_whatever_the_names(web: httpx.Client, session: Session, name: str) -> None:
    classified(session, name, name, "a text", "5-0", "card")

    with Client(str(web.base_url), token=TOKEN) as client:
        assert client.get(name, name)["label"] == "card"


def test_what_json_alone_can_not_say_arrives(web: httpx.Client, settings: Settings, redis_client: redis.Redis) -> None:
    with Client(str(web.base_url), token=TOKEN) as client:
        client.send([Document("1", "a\ud800b", meta={"on": date(2026, 1, 2)}), Document("2", 'q"\x01' * 200_000)])

    entries = [fields for _, fields in redis_client.xrange(settings.stream("live"))]
    assert entries[0][b"text"] == "a\ud800b".encode("utf-8", "surrogatepass")
    assert orjson.loads(entries[0][b"meta"]) == {"on": "2026-01-02"}
    assert len(entries[1][b"text"]) == 600_000


def test_the_wrong_document_among_many_is_named(web: httpx.Client) -> None:
    documents = [Document(str(i), "text") for i in range(1500)]
    documents[1200] = Document("", "text")
    with Client(str(web.base_url), token=TOKEN) as client, pytest.raises(InvalidDocumentError) as raised:
        client.send(documents)
    assert raised.value.index == 1200


def test_a_file_goes_in_over_http(
    web: httpx.Client, settings: Settings, redis_client: redis.Redis, tmp_path: Path
) -> None:
    (tmp_path / "more.csv").write_text("id,text\n1,one\n2,\n3,three\n", encoding="utf-8")
    done = loaded.run(
        ["sortline", "enqueue", "more.csv", "--url", str(web.base_url), "--json"], tmp_path,
        {**environment(settings), "SORTLINE_TOKEN": TOKEN, "SORTLINE_REDIS_URL": "redis://127.0.0.1:1"},
    )  # fmt: skip
    assert done.returncode == 3  # done, but a row was refused
    assert "line 3" in done.stderr
    assert json.loads(done.stdout)["sent"] == 2
    assert [f[b"id"] for _, f in redis_client.xrange(settings.stream("bulk"))] == [b"1", b"3"]
