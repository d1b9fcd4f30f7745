"""What a model lacks stands on every page about it: for people, not for strangers."""

from collections.abc import Callable

import httpx
from sqlalchemy.orm import Session

from db.models import TrainingRun
from db.queries import model_versions
from tests.web.conftest import Browser

_LACKING = {
    "evidence": {"enough": False, "documents": 0, "missing": 20, "sentence": "there are no test documents"},
    "snapshot": {"dropped_labels": ["<b>rare</b>", "odd"], "labels": 2, "min_examples": 8},
    "gate": {"outcome": "no evidence", "reason": "there are no test documents"},
}


def test_what_a_model_lacks_stands_on_its_pages_and_on_the_first_one(
    web: httpx.Client, sign_in_as: Callable[..., Browser], session: Session
) -> None:
    made = model_versions.create(
        session, checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=[1], metrics=_LACKING, status="active"
    )
    run = TrainingRun(reason="test", state="done", model_version_id=made.id, parameters={})
    session.add(run)
    session.commit()
    reviewer = sign_in_as("reviewer", "bob")

    for path in ("/", "/model-versions", f"/training-runs/{run.id}"):
        page = reviewer.get(path).text
        assert "There are no test documents. It suggests labels but accepts nothing" in page, path
        assert "2 of 4 labels are left out" in page, path
        assert "&lt;b&gt;rare&lt;/b&gt;" in page, path
        assert "at least 20 more test documents" in page, path
    assert "All is well" not in reviewer.get("/").text
    stranger = httpx.get(web.base_url).text
    assert "The model lacks 2 things" in stranger
    assert "rare" not in stranger
