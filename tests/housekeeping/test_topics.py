"""Grouping what is undecided: real vectors' shape, odd texts, floods, and the process that stores topics."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from conftest import environment
from filled_queue import add_document, add_labels
from like import add_vectors
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import Grouping, Review, Topic, TopicDocument
from db.queries import erasure, grouping_input, groupings, people, topics
from housekeeping import groups
from housekeeping.groups import Group, Text
from housekeeping.topics_process import EVERY_S, LEAST, group_topics
from sortline.settings import Settings


def texts(*said: str) -> list[Text]:
    return [Text(i, each, hashlib.sha256(each.encode()).digest()) for i, each in enumerate(said)]


def directions(*about: int, noise: float = 0.05) -> np.ndarray:
    """A vector for each text in the direction of what it is about."""
    draw = np.random.default_rng(0)
    vectors = np.eye(16, dtype=np.float32)[list(about)]
    return (vectors + noise * draw.standard_normal(vectors.shape)).astype(np.float32)


def grouped(said: list[str], about: list[int]) -> list[Group]:
    return groups.group(texts(*said), directions(*about))


def test_what_is_alike_is_together_and_named_by_what_tells_it() -> None:
    said = [f"the card is late {i}" for i in range(40)] + [f"cash is the money of machine {i}" for i in range(20)]
    found = grouped(said, [0] * 40 + [1] * 20)
    assert sorted(id_ for each in found for id_ in each.ids) == list(range(60))
    for each in found:
        about_cards = each.ids[0] < 40
        assert all((id_ < 40) == about_cards for id_ in each.ids)
        assert set(each.words) & ({"card", "late"} if about_cards else {"cash", "money", "machine"})
        assert not set(each.words) & {"the", "is", "of"}
        assert not each.copies
    assert [len(each.ids) for each in found] == sorted((len(each.ids) for each in found), reverse=True)


def test_the_most_typical_come_first() -> None:
    vectors = directions(*[0, 1] * 30, noise=0.2)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for part in groups.divided(vectors):
        centre = vectors[part].mean(axis=0)
        near = (vectors[part] @ centre).tolist()
        assert near == sorted(near, reverse=True)


def test_a_flood_of_copies_is_one_topic_and_said_as_copies() -> None:
    said = ["cheap watches"] * 10_000 + [f"where is my card {i}" for i in range(30)]
    found = grouped(said, [2] * 10_000 + [0] * 30)
    assert (len(found[0].ids), found[0].copies, found[0].words) == (10_000, True, ["cheap", "watches"])
    assert not any(each.copies for each in found[1:])
    assert sum(len(each.ids) for each in found[1:]) == 30


def test_all_alike_few_and_none() -> None:
    assert groups.group([], np.empty((0, 16), np.float32)) == []
    same = groups.group(texts(*(f"text {i}" for i in range(30))), np.ones((30, 16), np.float32))
    assert [len(each.ids) for each in same] == [30], "one vector is one topic, whatever the texts are"
    zeros = groups.group(texts(*(f"text {i}" for i in range(30))), np.zeros((30, 16), np.float32))
    assert sum(len(each.ids) for each in zeros) == 30
    three = grouped(["a card", "my card", "cards"], [0, 0, 0])
    assert sorted(id_ for each in three for id_ in each.ids) == [0, 1, 2]


def test_a_few_that_are_alike_are_found_among_many_that_are_not() -> None:
    draw = np.random.default_rng(0)
    alone = draw.standard_normal((200, 128)).astype(np.float32)
    few = np.ones((10, 128), np.float32) + 0.3 * draw.standard_normal((10, 128)).astype(np.float32)
    vectors = np.concatenate([alone, few, np.zeros((1, 128), np.float32)])
    found = groups.alike(vectors, groups.centre_of(alone, [None] * 200))
    assert sorted(max(found, key=len)) == list(range(200, 210))
    assert max(len(each) for each in found if 200 not in each) < 10
    assert [210] not in found, "a vector of zeros has no direction"


def foreign_to_a_fine_tuned_model() -> tuple[np.ndarray, np.ndarray, list[int | None]]:
    """Vectors of what no label fits, and of the traffic with what it was predicted as: as fine-tuning leaves them.

    Labels lie close, each in its direction, and all vectors have one in common. What is foreign is not drawn together
    and lies between the labels: fifteen about one thing, fifteen about another, thirty about nothing that comes twice.
    """
    draw = np.random.default_rng(3)
    width, common = 96, 3 * np.eye(96)[0]
    labels = common + 2.2 * np.eye(width)[1:4]
    known = labels[np.arange(300) % 3] + 0.12 * draw.standard_normal((300, width))
    about = 2.4 * np.eye(width)[[10] * 15 + [11] * 15]
    alike = common + about + 0.26 * draw.standard_normal((30, width))
    alone = common + 0.33 * draw.standard_normal((30, width))
    foreign = np.concatenate([alike, alone]).astype(np.float32)
    return foreign, np.concatenate([known, foreign]).astype(np.float32), [*(np.arange(300) % 3), *([0, 1, 2] * 20)]


def test_what_is_alike_is_found_with_a_fine_tuned_encoder() -> None:
    foreign, traffic, labels = foreign_to_a_fine_tuned_model()
    found = groups.alike(foreign, groups.centre_of(traffic, labels))
    large = [sorted(each) for each in found if len(each) >= 5]
    assert sorted(large) == [list(range(15)), list(range(15, 30))]


def test_what_is_left_over_joins_a_part_that_is_near() -> None:
    part, far = np.eye(16)[[0] * 8] + 0.05 * np.eye(16)[1:9], np.eye(16)[15]
    left = 0.37 * np.eye(16)[0] + 0.93 * np.eye(16)[12]  # at 0.63 of the part: too far to be joined as an equal
    found = groups.alike(np.stack([*part, left, far]).astype(np.float32), np.zeros(16, np.float32))
    assert [sorted(each) for each in found] == [list(range(9)), [9]]
    four = groups.alike(np.stack([*part[:4], left, far]).astype(np.float32), np.zeros(16, np.float32))
    assert sorted(map(sorted, four)) == [[0, 1, 2, 3], [4], [5]], "four are not enough to be joined"


def test_one_label_and_a_flood_do_not_move_the_centre() -> None:
    one, other = np.eye(8, dtype=np.float32)[:2]
    centre = groups.centre_of(np.stack([one] * 999 + [other]), [1] * 999 + [2])
    assert np.allclose(centre, (one + other) / 2)
    assert not groups.centre_of(np.empty((0, 8), np.float32), []).any()


def test_what_is_near_to_a_part_joins_it_once_and_the_nearest_first() -> None:
    one, other = np.eye(8, dtype=np.float32)[:2]
    parts = [np.stack([one] * 3), np.stack([other] * 3)]
    asked = np.stack([0.6 * one + 0.8 * other, one, 0.9 * one + 0.3 * other, np.eye(8)[5], np.zeros(8)])
    centre = np.zeros(8, np.float32)
    assert groups.near(asked.astype(np.float32), parts, centre) == [[1, 2], [0]]
    assert groups.near(asked[:0].astype(np.float32), parts, centre) == [[], []]
    assert groups.near(asked.astype(np.float32), [], centre) == []


def test_all_alike_and_one_alone() -> None:
    same = np.ones((50, 8), np.float32)
    assert groups.alike(same, groups.centre_of(same, [None] * 50)) == [list(range(50))], "all of the traffic is alike"
    assert groups.alike(same[:1], np.zeros(8, np.float32)) == [[0]]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ([f"{i}{i}{i}" for i in range(10, 50)], r"\d+"), (["🎉" * (i + 1) for i in range(40)], "🎉+"),
        ([f"银行卡丢失 {i}" for i in range(40)], "[银行卡丢失]"), ([f"บัตรหาย {i}" for i in range(40)], "บัตรหาย"),
        (["?" * (i + 1) for i in range(40)], None), (["the and of " + "the " * i for i in range(40)], None),
    ],
)  # fmt: skip
def test_texts_of_all_kinds_have_a_name_or_none(said: list[str], named: str | None) -> None:
    import re

    for each in grouped(said, [0] * 20 + [1] * 20):
        assert all(len(word) <= 30 for word in each.words)
        assert (each.words == []) if named is None else re.match(named, each.words[0])


@pytest.fixture
def filled(session: Session) -> dict[str, list[int]]:
    """Documents about two things, and others that topics must not have."""
    add_labels(session)
    about = {
        "card": [add_document(session, f"my card is late {i}") for i in range(15)],
        "cash": [add_document(session, f"the machine kept cash {i}") for i in range(15)],
        "audit": [add_document(session, "an audit", reason="audit", sampling_probability=0.1)],
        "settled": [add_document(session, "settled", None)],
        "bare": [add_document(session, "no vector")],
    }
    add_vectors(session, {
        id_: [kind == "card", kind == "cash", 0.3 if id_ % 2 else 0]
        for kind in ("card", "cash", "audit", "settled") for id_ in about[kind]
    })  # fmt: skip
    return about


def test_of_a_flood_one_document_is_of_the_traffic(session: Session, filled: dict[str, list[int]]) -> None:
    flood = [add_document(session, f"cheap watches {i}", probabilities=(0.1, 0.8, 0.1)) for i in range(40)]
    encoder_id = add_vectors(session, {id_: [0, 0, 1] for id_ in flood})
    vectors, predicted = grouping_input.traffic(session, (encoder_id, 8), 500)
    assert len(vectors) == len(predicted) == 5, "card, cash, an audit, a settled one, and the flood: digits differ"
    assert sorted(predicted, key=str) == [1, 1, 1, 1, 2]
    assert vectors[predicted.index(2)].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]


def members(session: Session) -> dict[int, set[int]]:
    session.rollback()
    found: dict[int, set[int]] = {}
    for row in session.scalars(select(TopicDocument)):
        found.setdefault(row.topic_id, set()).add(row.document_id)
    return found


def test_the_process_stores_topics_of_what_waits(
    session: Session, settings: Settings, filled: dict[str, list[int]]
) -> None:
    assert groupings.due(session, EVERY_S, LEAST)
    session.rollback()
    assert group_topics(settings) >= 2
    wanted = {*filled["card"], *filled["cash"]}
    assert set().union(*members(session).values()) == wanted
    for each in members(session).values():
        assert each <= set(filled["card"]) or each <= set(filled["cash"])
    [grouping] = session.scalars(select(Grouping).filter_by(kind="undecided"))
    assert (grouping.documents, grouping.waiting, grouping.without_vector, grouping.error) == (30, 31, 1, None)
    assert not groupings.due(session, EVERY_S, LEAST)
    groupings.ask(session)
    groupings.ask(session)
    session.commit()
    assert groupings.due(session, EVERY_S, LEAST)
    session.rollback()
    group_topics(settings)
    session.rollback()
    assert len(session.scalars(select(Grouping)).all()) == 2, "one of each kind"
    assert set().union(*members(session).values()) == wanted


def test_a_topic_stays_put_aside_when_it_is_grouped_again(
    session: Session, settings: Settings, filled: dict[str, list[int]]
) -> None:
    group_topics(settings)
    for topic_id, ids in members(session).items():
        if ids <= set(filled["cash"]):
            topics.put_aside(session, topic_id, True, "user:ann")
    session.commit()
    more = [add_document(session, f"more cash {i}") for i in range(3)]
    add_vectors(session, {id_: [0, 1, 0.1] for id_ in more})
    group_topics(settings)
    session.rollback()
    aside = {row.id for row in session.scalars(select(Topic).where(Topic.aside_at.is_not(None)))}
    kept = set().union(*(ids for topic_id, ids in members(session).items() if topic_id in aside))
    assert kept & set(filled["cash"])
    assert not kept & set(filled["card"])


def test_what_is_decided_or_erased_is_gone_from_its_topic(
    session: Session, settings: Settings, filled: dict[str, list[int]]
) -> None:
    group_topics(settings)
    session.rollback()
    before = {each.id: each.waiting for each in topics.listing(session)}
    ann = people.add(session, "ann", "lead", "tests")
    gone, decided = filled["card"][0], filled["card"][1]
    session.add(Review(document_id=decided, reviewer_id=ann.id, action="confirm", label_id=1, reason="bulk"))
    erasure.delete_documents(session, [gone], "request")
    session.commit()
    assert sum(each.waiting for each in topics.listing(session)) == sum(before.values()) - 2
    assert gone not in set().union(*members(session).values())
    shown = topics.typical(session, list(before), 100)
    assert not {gone, decided} & {id_ for ids in shown.values() for id_ in ids}


def test_without_enough_documents_old_topics_go(
    session: Session, settings: Settings, filled: dict[str, list[int]]
) -> None:
    group_topics(settings)
    session.rollback()
    session.execute(text("DELETE FROM queue_items WHERE document_id > 10"))
    session.execute(text("UPDATE groupings SET ended_at = now() - interval '2 hours'"))
    session.commit()
    assert groupings.due(session, EVERY_S, LEAST)
    session.rollback()
    assert group_topics(settings) == 0
    assert members(session) == {}


def test_the_process_runs_by_itself(session: Session, settings: Settings, filled: dict[str, list[int]]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "housekeeping.topics_process"], env=environment(settings), capture_output=True, text=True
    )
    assert (done.returncode, "grouped 30 documents" in done.stderr + done.stdout) == (0, True), done.stderr
    assert members(session)
