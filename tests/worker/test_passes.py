"""How forward passes are cut and chosen, so that live documents wait for little."""

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from classifier.classifier import Classifier, load_classifier
from classifier.tokens import Prepared
from sortline.settings import Lane, Settings
from tests.tiny_bert import build_tiny_checkpoint
from worker.entry import Entry
from worker.micro_batch import MicroBatch
from worker.schedule import Pass, Schedule

TEXTS = ["where is my card " * (1 + i % 5) + f"please help {i}" for i in range(60)]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A real tiny encoder."""
    stored = build_tiny_checkpoint(tmp_path_factory.mktemp("passes") / "checkpoint")
    settings = Settings(_env_file=None, engine="torch", device="cpu", precision="f32")
    return load_classifier(str(stored.folder), stored.sha256, settings)


@pytest.fixture
def batch(classifier: Classifier) -> Callable[..., MicroBatch]:
    def batch(lane: Lane = "bulk", texts: Sequence[str] = TEXTS) -> MicroBatch:
        entries = [Entry(lane, f"1-{i}", [b"id", str(i).encode(), b"text", text.encode()])
                   for i, text in enumerate(texts)]  # fmt: skip
        for entry in entries:
            entry.parse()
        made = MicroBatch(
            lane,
            entries,
            SimpleNamespace(version_id=1, form="whole", classifier=classifier, encoder_id=None, revision=None),
        )
        made.prepare()
        return made

    return batch


def computed(made: MicroBatch) -> np.ndarray:
    """Probabilities by entry id, after all passes."""
    assert [made.forward(index) for index in range(len(made.batches))][-1]
    made.finish()
    return made.probabilities


def test_a_pass_that_is_cut_gives_the_same_answers(batch: Callable[..., MicroBatch]) -> None:
    whole, cut = batch(), batch()
    longest = cut.batches[0].input_ids.shape[1]

    rest = cut.split(0, 4 * longest)

    assert rest is not None and cut.split(0, 4 * longest) is None
    assert cut.batches[0].input_ids.shape[0] <= 4
    while rest is not None:
        rest = cut.split(rest, 4 * longest)
    assert len(cut.batches) > len(whole.batches)
    np.testing.assert_allclose(computed(cut), computed(whole), atol=1e-5)


def test_a_pass_keeps_at_least_one_row(batch: Callable[..., MicroBatch]) -> None:
    alone = batch(texts=TEXTS[:1])
    assert alone.split(0, 1) is None
    two = batch(texts=[TEXTS[0], TEXTS[0]])
    assert two.split(0, 1) == 1
    assert [each.documents for each in two.batches] == [[0], [1]]


def run(schedule: Schedule, us_a_token: float) -> Pass:
    """Take a pass and note that it took so long."""
    work = schedule.take()
    assert work is not None and work.index is not None
    tokens = work.batch.batches[work.index].input_ids.size + 32
    work.batch.forward(work.index)
    schedule.done(work, 1e-6 * us_a_token * tokens)
    return work


def tokens_of(work: Pass) -> int:
    assert work.index is not None
    return int(work.batch.batches[work.index].input_ids.size)


def test_passes_of_bulk_are_short_while_live_documents_come(
    batch: Callable[..., MicroBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = Schedule(0.2)
    for _ in range(3):
        schedule.put(batch())
    us = 140.0
    assert tokens_of(run(schedule, us)) == tokens_of(Pass(batch(), 0))  # nobody of live waits

    schedule.put(batch("live", TEXTS[:1]))
    assert run(schedule, us).batch.lane == "live"
    most = 0.05 / (1e-6 * us)
    short = run(schedule, us)
    assert short.batch.lane == "bulk" and most / 4 < tokens_of(short) + 32 <= most

    later = time.monotonic() + 60
    monkeypatch.setattr("worker.schedule.time", SimpleNamespace(monotonic=lambda: later))
    while schedule._passes["bulk"] > len(batch().batches):
        run(schedule, us)
    assert tokens_of(run(schedule, us)) == tokens_of(Pass(batch(), 0))


def test_passes_of_bulk_are_short_while_live_documents_come_to_another_process(
    batch: Callable[..., MicroBatch],
) -> None:
    schedule = Schedule(0.2)
    for _ in range(2):
        schedule.put(batch())
    us, most = 140.0, 0.05 / 140e-6
    assert tokens_of(run(schedule, us)) == tokens_of(Pass(batch(), 0))
    work = schedule.take()
    assert work is not None

    schedule.done(work, 0.1, live_at=time.monotonic() - 1)

    assert tokens_of(run(schedule, us)) + 32 <= most
    assert schedule.batches_at_once("bulk", 1) == 1


def test_a_thread_for_live_takes_nothing_else(batch: Callable[..., MicroBatch]) -> None:
    schedule = Schedule(0.2)
    schedule.put(batch())
    schedule.put(batch("live", TEXTS[:1]))
    work = schedule.take("live")
    assert work is not None and work.batch.lane == "live"
    assert schedule._choose("live") is None
    isolated = batch("live", TEXTS[:1])
    isolated.isolated = True
    schedule.put(isolated)
    schedule.put(batch("live", TEXTS[:1]))
    schedule.done(work, 0.01)
    assert schedule._choose("live") is None  # the isolated one comes first, and alone
    alone = schedule.take()
    assert alone is not None and alone.batch is isolated


def test_a_fast_engine_keeps_its_large_passes(batch: Callable[..., MicroBatch]) -> None:
    schedule = Schedule(0.2)
    for _ in range(2):
        schedule.put(batch())
    run(schedule, 1.0)
    schedule.put(batch("live", TEXTS[:1]))
    assert run(schedule, 1.0).batch.lane == "live"

    passes = [run(schedule, 1.0) for _ in range(2 * len(batch().batches) - 1)]

    assert schedule.is_idle() and all(tokens_of(each) == tokens_of(Pass(batch(), each.index)) for each in passes)


def test_every_document_of_cut_passes_is_done_once(batch: Callable[..., MicroBatch]) -> None:
    schedule = Schedule(0.2)
    bulk = [batch() for _ in range(3)]
    for each in bulk:
        schedule.put(each)
    for _ in range(5):
        schedule.put(batch("live", TEXTS[:3]))
    while not schedule.is_idle():
        run(schedule, 400.0)
    for each in bulk:
        each.finish()
        assert sorted(row for work in each.batches for row in work.documents) == list(range(len(TEXTS)))
    assert schedule._passes == schedule._documents == {"live": 0, "bulk": 0}


def test_documents_wait_to_be_computed_together_only_behind_their_like(batch: Callable[..., MicroBatch]) -> None:
    schedule = Schedule(0.2)
    assert not schedule.is_worth_waiting("live") and not schedule.is_worth_waiting("bulk")
    schedule.put(batch())
    bulk = schedule.take()
    assert bulk is not None and schedule.is_worth_waiting("bulk")
    assert not schedule.is_worth_waiting("live")  # it is next
    schedule.done(bulk, 0.1)
    schedule.put(batch("live", TEXTS[:1]))
    assert schedule.take() is not None
    assert schedule.is_worth_waiting("live")


def test_documents_of_about_the_same_length_are_computed_together(batch: Callable[..., MicroBatch]) -> None:
    texts = ["a b c d e f g h", "a", "a b c", "a b c d e f g", "a b", "a b c d e f"]
    read = batch(texts=texts)
    read.prepared[2] = Prepared([[1] * 8, [1] * 8, [1] * 8])  # a long document

    parts = read.alike(2)

    assert [[entry.text for entry in each.entries] for each in parts] == [
        ["a b c", texts[0]], [texts[3], texts[5]], ["a b", "a"],
    ]  # fmt: skip
    assert [each.prepared[0].tokens for each in parts] == sorted((each.tokens for each in read.prepared), reverse=True)[
        ::2
    ]
    assert all(each.waiting and each.times == read.times for each in parts)
    assert read.alike(6) == [read]


def test_more_of_a_backlog_is_read_at_once_if_it_is_computed_soon(batch: Callable[..., MicroBatch]) -> None:
    schedule = Schedule(0.2)
    schedule.threads = 2

    def compute(documents: int, seconds: float) -> None:
        schedule.put(batch(texts=["a"] * documents))
        work = schedule.take()
        assert work is not None
        schedule.done(work, seconds)

    assert schedule.batches_at_once("bulk", 8) == 1  # nothing is measured yet
    compute(6, 1.0)  # so two threads compute 12 documents in a second
    assert [schedule.batches_at_once("bulk", documents) for documents in (13, 12, 5, 1)] == [1, 1, 2, 4]
    assert schedule.batches_at_once("live", 1) == 1
    schedule.put(batch("live", ["a"]))
    assert schedule.batches_at_once("bulk", 1) == 1  # somebody waits for live documents
