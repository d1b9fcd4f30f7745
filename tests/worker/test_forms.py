"""Workers serve a model version in the form that was chosen, and say which form gave each answer."""

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from classifier.engines.choose import serves
from db.models import ModelVersion
from db.queries import model_forms
from sortline.settings import Settings


@pytest.fixture
def forms(model: ModelVersion, session: Session) -> Callable[..., None]:
    """Gives the active version its whole model and a faster form, by default one that loads."""

    def add(int8: str = model.checkpoint_uri) -> None:
        model_forms.add(session, model.id, "whole", "proved", uri=model.checkpoint_uri, sha256=model.sha256)
        model_forms.add(session, model.id, "int8", "proved", uri=int8, sha256="1")
        session.commit()

    return add


@pytest.fixture
def worker_settings(worker_settings: Settings) -> Settings:
    """The faulty classifier has no int8 that needs a processor; only the choice of the form is asked for."""
    return worker_settings.model_copy(update={"engine": "openvino", "device": "cpu"})


def test_a_form_is_taken_up_like_a_promotion_and_left_like_one(
    line, forms, start_worker, eventually: Callable[..., None], session: Session, model: ModelVersion
) -> None:
    forms()
    start_worker()
    line.send({"a": "first"})
    eventually(lambda: line.predicted() == 1)

    model_forms.serve(session, model.id, "int8", "trainer")
    session.commit()
    eventually(lambda: [worker["form"] for worker in line.queue.workers()] == ["int8"])
    line.send({"b": "second"})
    eventually(lambda: line.predicted() == 2)
    model_forms.serve_previous(session, model.id, "ann")
    session.commit()
    eventually(lambda: [worker["form"] for worker in line.queue.workers()] == ["whole"])
    line.send({"c": "third"})
    eventually(lambda: line.predicted() == 3)

    answered = line.rows("SELECT external_id, form FROM documents JOIN predictions ON document_id = id")
    assert answered == {"a": "whole", "b": "int8", "c": "whole"}
    eventually(lambda: {event["id"]: event["form"] for event in line.events()} == answered)
    line.send({"b": "second"})  # sent again: the event names the form that answered then
    eventually(lambda: [event["form"] for event in line.events() if event["id"] == "b"] == ["int8", "int8"])


def test_a_form_that_can_not_be_loaded_does_not_stop_the_line(
    line, forms, start_worker, eventually: Callable[..., None], session: Session, model: ModelVersion
) -> None:
    forms(int8="broken:")
    model_forms.serve(session, model.id, "int8", "trainer")
    session.commit()

    start_worker()
    line.send({"a": "first"})

    eventually(lambda: line.predicted() == 1)
    assert line.rows("SELECT 'form', form FROM predictions") == {"form": "whole"}
    eventually(
        lambda: ["int8 is refused: sha256" in (each["refused"] or "") for each in line.queue.workers()] == [True]
    )


def test_a_worker_can_be_told_its_form(
    line, forms, start_worker, eventually: Callable[..., None], session: Session, model: ModelVersion
) -> None:
    forms()
    start_worker({"form": "int8"})
    line.send({"a": "first"})

    eventually(lambda: line.predicted() == 1)
    assert line.rows("SELECT 'form', form FROM predictions") == {"form": "int8"}


@pytest.mark.parametrize(
    ("changed", "form", "loaded"),
    [
        ({"engine": "openvino", "device": "cpu"}, "int8", "int8"),
        ({"engine": "openvino", "device": "cpu"}, "student-int8", "student-int8"),
        ({"engine": "openvino", "device": "cpu", "precision": "bf16"}, "int8", "whole"),
        ({"engine": "torch", "device": "cpu"}, "int8", "whole"),
        ({"engine": "torch", "device": "cuda"}, "student-int8", "student"),
        ({"engine": "torch", "device": "cuda"}, "student", "student"),
    ],
)
def test_a_machine_without_int8_serves_the_same_model_without(
    settings: Settings, changed: dict[str, str], form: str, loaded: str
) -> None:
    assert serves(form, settings.model_copy(update=changed)) == loaded
