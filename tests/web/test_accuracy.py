"""The page on live accuracy: what it says with no, few and many audits, of which version, and to whom."""

import re
from collections.abc import Callable

import httpx
import pytest
from audited_traffic import add_answers
from filled_queue import NAMES, add_labels
from sqlalchemy.orm import Session

from db.models import ModelVersion
from db.queries.live_accuracy import count_answers
from monitoring.live_accuracy import check_accuracy

HOSTILE = '<b>"label" \u202e'


@pytest.fixture
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session, (*NAMES[:2], HOSTILE))]


@pytest.fixture
def shown(sign_in_as: Callable[..., httpx.Client]) -> Callable[..., str]:
    """The page's words, without its marks."""
    browser = sign_in_as("reviewer", "ann")

    def shown(**asked: object) -> str:
        answer = browser.get("/accuracy", params=asked)
        assert answer.status_code == 200
        plain = re.sub(r"<[^>]+>", " ", answer.text).replace("&nbsp;", " ")
        return re.sub(r"\s+", " ", plain)

    return shown


def answered(session: Session, label: int, other: int, right: int, wrong: int, **more: object) -> None:
    add_answers(session, 5000, label, **more)
    add_answers(session, right, label, probability=0.05, truth_id=label, **more)
    if wrong:
        add_answers(session, wrong, label, probability=0.05, truth_id=other, **more)
    count_answers(session)
    session.commit()


def test_who_is_not_signed_in_signs_in_first(web: httpx.Client) -> None:
    assert web.get("/accuracy").headers["location"] == "/sign-in?next=/accuracy"


def test_before_anything_was_answered(shown: Callable[..., str]) -> None:
    assert "No version has answered yet" in shown()


def test_audits_that_wait_alone_tell_nothing_yet(
    session: Session, labels: list[int], shown: Callable[..., str]
) -> None:
    add_answers(session, 3, labels[0], probability=0.01, decided=False)
    count_answers(session)
    session.commit()

    assert "No audit has been decided yet; 3 wait at the desk" in shown()


def test_the_share_with_its_interval_beside_what_is_promised(
    session: Session, labels: list[int], shown: Callable[..., str]
) -> None:
    answered(session, labels[0], labels[1], right=90, wrong=10, confidence=0.9)
    add_answers(session, 20, labels[0], probability=0.05, decided=False, confidence=0.9)
    answered(session, labels[2], labels[1], right=20, wrong=0, confidence=0.9)

    page = shown()

    value, low, high = map(float, re.findall(r"right ([\d.]+) % ([\d.]+) to ([\d.]+)", page)[0])
    assert value == 91.7 and 85 < low < 88 and 95 < high < 97
    assert "promised by confidences 90.0 %" in page and "audits decided 120 of 140" in page
    assert "20 audits wait for a decision" in page
    assert "As far as 120 audits can tell, as many answers are right" in page
    assert f"{NAMES[0]} 90.0 %" in page and "100 of 120" in page
    assert "&lt;b&gt;&#34;label&#34; \u202e 100.0 %" in page


def test_an_alarm_is_said_on_the_page_and_less_than_that_is_not(
    session: Session, labels: list[int], shown: Callable[..., str]
) -> None:
    answered(session, labels[0], labels[1], right=150, wrong=20, confidence=0.94)
    assert "The confidences promise more than the audits show. An alarm is raised once" in shown()

    answered(session, labels[0], labels[1], right=0, wrong=60, confidence=0.94)
    check_accuracy(session, 0.02)
    session.commit()

    assert "⚠ The confidences promise more than is right" in shown()


def test_each_version_has_its_own_figures(session: Session, labels: list[int], shown: Callable[..., str]) -> None:
    session.add(ModelVersion(checkpoint_uri="x", sha256="1", base_model="tiny", label_ids=labels))
    session.commit()
    answered(session, labels[0], labels[1], right=50, wrong=50, version_id=2, days=40.5)
    answered(session, labels[0], labels[1], right=100, wrong=0)

    assert "of version 1 active" in shown() and "right 100.0 %" in shown()
    assert "of version 2 This page" in shown(version=2)
    assert "This version has no answers in the last four weeks" in shown(version=2)
    assert "2 50.0 %" in shown(version=2)  # of 13 weeks, in the table
    assert "Version 99 has no answers in the last 13 weeks" in shown(version=99)


def test_each_form_has_its_own_figures_where_more_than_one_answered(
    session: Session, labels: list[int], shown: Callable[..., str]
) -> None:
    answered(session, labels[0], labels[1], right=100, wrong=0, form="whole")
    assert "By form" not in shown()

    answered(session, labels[0], labels[1], right=60, wrong=40, form="int8")

    page = shown()
    assert "right 80.0 %" in page
    assert re.search(r"int8 60\.0 % [\d.]+ to [\d.]+ 90\.0 % 100 of 100 5,100", page)
    assert re.search(r"whole 100\.0 % [\d.]+ to 100\.0 90\.0 % 100 of 100 5,100", page)

    check_accuracy(session, 0.02)
    session.commit()
    assert "⚠ Of form int8, the confidences promise more than is right" in shown()
    assert "Of form whole, the confidences promise less" in shown()
