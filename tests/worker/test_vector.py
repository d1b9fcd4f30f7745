"""A pasted text on its whole way: the web, the broker, a worker that makes its vector, and what is like it."""

from collections.abc import Callable

import pytest
from sqlalchemy import text as sql
from sqlalchemy.orm import Session

from db.models import ModelVersion
from db.queries import people
from sortline.settings import Settings
from tests.web.conftest import Browser, serving

TEXTS = {"a": "where is my card", "b": "the cash machine ate it", "c": "transfer has not arrived"}


@pytest.fixture
def worker_settings(settings: Settings) -> Settings:
    """A real tiny encoder on torch: it needs no conversion."""
    return settings.model_copy(update={"engine": "torch", "device": "cpu", "watch_interval_s": 0.2})


def test_a_worker_embeds_a_pasted_text_and_the_page_shows_what_is_like_it(
    line, start_worker, eventually: Callable[..., None], session: Session, settings: Settings, version: ModelVersion
) -> None:
    worker = start_worker()
    line.send(TEXTS)
    eventually(lambda: line.predicted() == len(TEXTS), 60)
    ids = dict(session.execute(sql("SELECT external_id, id FROM documents")).tuples().all())
    lead = people.sign_in(session, people.add(session, "ann", "lead", "tests"), "tests")
    session.commit()
    with serving(settings) as web, Browser(web.base_url, lead) as ann:
        answer = ann.send_form("/like", text=" the cash machine ate it\n")
        assert answer.status_code == 200, answer.text
        first, other = (answer.text.index(f'name="tick-{ids[each]}"') for each in ("b", "a"))
        assert first < other
        assert "100 % alike" in answer.text
        assert line.count("SELECT count(*) FROM documents") == len(TEXTS)  # it is not stored

        worker.terminate()
        answer = ann.send_form("/like", text="card")
        assert answer.status_code == 503
        assert "No worker has answered within 8 s" in answer.text
        assert "card" in answer.text  # to be sent again
    assert list(line.client.scan_iter(f"{settings.prefix}:pasted:*")) == []
