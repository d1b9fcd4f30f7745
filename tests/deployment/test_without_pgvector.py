"""A Postgres without pgvector: it is said, and likeness is found among fewer documents."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from filled_queue import add_document, add_labels
from like import add_vectors
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.connection import get_engine
from db.queries import embeddings, likeness, people
from db.session import session
from migrations.upgrade import migrate
from sortline.settings import Settings
from tests import loaded
from tests.conftest import environment
from tests.deployment.bed import Bed, running_tls_postgres
from tests.web.conftest import TOKEN, Browser, add_token, serving
from web.sessions import COOKIE

DIRECTIONS = {"my card is late": [1, 0.1], "cash": [0, 1], "the card is late": [1, 0], "no card": [1, 0.3]}


@pytest.fixture
def bare(bed: Bed, settings: Settings) -> Iterator[Settings]:
    """An installation on a Postgres that can't have pgvector."""
    with running_tls_postgres(bed) as url:
        made = settings.model_copy(update={"database_url": url})
        with get_engine(made.postgres_url).connect() as asked:
            if asked.scalar(text("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")):
                pytest.skip("this Postgres has pgvector")
        migrate(made.postgres_url)
        yield made
        get_engine(made.postgres_url).dispose()


def filled(opened: Session) -> list[int]:
    add_labels(opened)
    ids = [add_document(opened, said) for said in DIRECTIONS]
    add_vectors(opened, dict(zip(ids, DIRECTIONS.values(), strict=True)))
    return ids


def test_the_doctor_and_the_pages_say_it_and_fewer_are_compared(
    bare: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = loaded.run(["sortline", "doctor"], tmp_path, environment(bare), timeout=200)
    said = " ".join((done.stdout + done.stderr).split())
    assert "pgvector" in said and "documents that are alike are found among the newest 20,000 only" in said
    assert "install pgvector 0.7 or newer on the server" in said
    with session(bare.postgres_url) as opened:
        assert not embeddings.has_pgvector(opened)
        ids = filled(opened)
        # What is stored is what comes back, in half precision.
        encoder = embeddings.encoder_of_active(opened)
        assert encoder is not None
        vector = likeness.vector_of(opened, encoder, ids[0])
        assert vector is not None and vector[:2].tolist() == pytest.approx([1, 0.1], abs=1e-3)
        lead = people.sign_in(opened, people.add(opened, "ann", "lead", "tests"), "tests")
        add_token(opened, "tests", TOKEN, ["documents"])
        opened.commit()
    with serving(bare) as web, Browser(web.base_url, lead) as ann:
        assert ann.cookies.get(COOKIE)
        page = ann.get(f"/documents/{ids[0]}/like").text
        assert "Only the newest 20,000 vectors are compared: this Postgres lacks pgvector." in page
        places = [page.index(f'name="tick-{id_}"') for id_ in (ids[2], ids[3], ids[1])]
        assert places == sorted(places)  # the likest first
        monkeypatch.setattr(likeness, "NEWEST", 2)
        page = ann.get(f"/documents/{ids[0]}/like").text
        assert "Only the newest 2 vectors are compared" in page
        assert f'name="tick-{ids[2]}"' in page and f'name="tick-{ids[1]}"' not in page
        like = web.get("/v1/documents/mail/doc-0/similar").json()["results"]
        assert [each["id"] for each in like] == ["doc-2", "doc-3"]
