"""A lead lets a version answer beside the active one, reads what came of it, and ends it."""

from filled_queue import add_document, add_labels
from sqlalchemy.orm import Session

from db.models import AuditEvent, ModelVersion, Prediction
from db.queries import model_versions, shadows


def candidate(session: Session) -> int:
    active = model_versions.active(session)
    assert active is not None
    other = ModelVersion(checkpoint_uri="-", sha256="0", base_model="tiny", label_ids=active.label_ids)
    session.add(other)
    session.commit()
    return other.id


def test_start_look_and_end(session: Session, sign_in_as) -> None:
    labels = add_labels(session, ["card", "<b>cash</b>"])
    other = candidate(session)
    lead, reviewer = sign_in_as("lead"), sign_in_as("reviewer")
    assert reviewer.send_form(f"/model-versions/{other}/shadow", percent=10).status_code == 403
    assert lead.send_form(f"/model-versions/{other}/shadow", percent="many").status_code == 422
    assert lead.send_form(f"/model-versions/{other}/shadow", percent=0).status_code == 409

    begun = lead.send_form(f"/model-versions/{other}/shadow", percent=12.5)
    assert "it has answered 12.5 % of the documents" in begun.text
    assert "Answers 12.5 % of the documents beside the active version" in reviewer.get("/model-versions").text
    document = add_document(session, "<script>alert(1)</script>", probabilities=(0.6, 0.4))
    session.add(Prediction(document_id=document, model_version_id=other, kind="shadow", label_id=labels[1].id,
                           confidence=0.9, probabilities=[0.1, 0.9], decision="accept"))  # fmt: skip
    session.commit()

    page = reviewer.get(f"/model-versions/{other}/shadow").text
    assert "&lt;b&gt;cash" in page and "<b>cash" not in page and "<script>alert" not in page
    assert "Nobody has decided a document on which they differ yet" in page
    ended = lead.send_form("/model-versions/shadow/end")
    assert "ended by lead" in ended.text
    assert lead.send_form("/model-versions/shadow/end").status_code == 200
    assert shadows.running(session) is None
    assert [row.action for row in session.query(AuditEvent).filter(AuditEvent.action.like("shadow%"))] == [
        "shadow started", "shadow ended",
    ]  # fmt: skip
