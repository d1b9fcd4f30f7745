"""From foreign documents to a label that is served: they arrive, are found alike, made a label, trained, promoted."""

import csv
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from benchmarks.kept import end
from benchmarks.reviewer import decide
from benchmarks.stack import Stack, processor, result, say, stack
from benchmarks.texts import banking77
from classifier.classifier import load_classifier
from db.models import Label, ModelVersion, User
from db.queries import belonging, bulk_decisions, groupings, model_versions, new_labels, rescore, topics, training_runs
from db.queries.groupings import NEW_LABEL
from db.queries.new_labels import NewLabel
from db.session import session
from sortline.queue import Document
from trainer import trigger
from trainer.data.import_file import import_file
from web.labels.belonging import MOST

_FOREIGN = "direct_debit_payment_not_recognised"
_IMPORTED = 0.6  # of the known labels' training texts; the others are traffic
_KNOWN = 2  # documents of known labels for each foreign one
_AT_ONCE = 30  # foreign documents, after which the reviewer decides, and topics are made again
_DECIDES = 60  # documents at the desk, each time
_LEAST = 10  # documents of a topic that a lead would make a label
_MOSTLY = 0.6  # of a topic's documents are foreign
_ENOUGH = 10  # more documents of the label on a page of what may belong to it: the lead looks again
_PATIENCE_S = 2400.0

_Rows = Sequence[tuple[str, str]]
_TEXTS = text("SELECT id, text FROM documents WHERE id = ANY(:ids)")


def new_label_loop(count: int = 300) -> None:
    """`new_label_loop`: ``loop`` with ``count`` foreign documents; fewer than 300 take fewer labels."""
    result("new_label_loop", **loop(count, 77 if count >= 300 else max(4, count // 15)), cpu=processor())


def loop(foreign: int = 300, labels: int = 77) -> dict[str, Any]:
    """A version that does not know one of banking77's labels gets to know it, as users would teach it.

    Through worker, trainer, housekeeping and beat as they run for users. 60 % of the other labels' training texts are
    imported and trained; the rest, and ``foreign`` documents of the label that was left out, come by the queue, mixed.
    (It has 182 training texts; where more are asked for, they come again with a number.) A reviewer who knows the true
    labels decides what the desk gives them, and "none fits" for the foreign ones. Once a topic of what may be a new
    label is mostly foreign, and all have come, a lead makes it a label with the documents that belong there. Then the
    lead looks at the page of what else may belong to the label, gives it to those that do, and looks again as long as
    the page had ten of them. A training follows.

    Args:
        labels: how many of the 77, the one that is left out among them.

    Returns:
        ``documents_to_proposal``: foreign documents that had come when the topic was there; ``decisions_to_proposal``:
        the reviewer's decisions until then; ``made_label``: documents that got the label with topics; ``more``: that
        got it from the page, in so many ``looks``; ``accuracy_new_label``: share of the label's test texts that the new
        version answers right; ``accuracy_known``: of the others; ``promoted``: whether it went live by itself.
    """
    train, test = banking77()
    names = {_FOREIGN, *sorted({label for _, label in train} - {_FOREIGN})[: labels - 1]}
    train, test = ([row for row in rows if row[1] in names] for rows in (train, test))
    random.Random(5).shuffle(train)
    known = [row for row in train if row[1] != _FOREIGN]
    imported, traffic = known[: int(_IMPORTED * len(known))], known[int(_IMPORTED * len(known)) :]
    arriving = _repeated([each for each, label in train if label == _FOREIGN], foreign)
    with stack("new_label_loop", retrain_after=0, quantise=False, students=False) as made, ExitStack() as running:
        _import(made, imported, [row for row in test if row[1] != _FOREIGN])
        for process in (made.start_worker(), made.start_trainer(), made.start_housekeeping(), made.start_beat()):
            running.callback(end, process)
        first = _train(made, 0)
        made.wait_ready()
        truth = dict(test) | dict(known) | dict.fromkeys(arriving, _FOREIGN)  # imported ones come to the desk too
        figures = _until_proposed(made, arriving, [each for each, _ in traffic], truth)
        made_label, looks = _make_label(made, truth), _give_to_the_rest(made, truth)
        say(f"{made_label:,} documents are decided as {_FOREIGN}, then {looks}")
        second = _train(made, first)
        with session(made.settings.postgres_url) as opened:
            active = model_versions.active(opened)
            version = opened.get_one(ModelVersion, second)
            figures |= {"promoted": active is not None and active.id == second, "made_label": made_label,
                        "more": sum(looks), "looks": len(looks),
                        "verdict": version.metrics["gate"]["outcome"]}  # fmt: skip
            loaded = load_classifier(version.checkpoint_uri, version.sha256, made.settings)
    answered = np.array(loaded.checkpoint.labels)[loaded.logits([each for each, _ in test]).argmax(axis=1)]
    wanted = np.array([label for _, label in test])
    new = wanted == _FOREIGN
    return {
        "foreign": foreign, "labels": len(names), **figures,
        "accuracy_new_label": round(float(np.mean(answered[new] == wanted[new])), 4),
        "accuracy_known": round(float(np.mean(answered[~new] == wanted[~new])), 4),
    }  # fmt: skip


def _repeated(texts: Sequence[str], count: int) -> list[str]:
    return [texts[i] if i < len(texts) else f"{texts[i % len(texts)]} ref {i}" for i in range(count)]


def _import(made: Stack, imported: _Rows, test: _Rows) -> None:
    with session(made.settings.postgres_url) as opened:
        for name, rows, split in (("test", test, "test"), ("train", imported, "train")):
            path = made.settings.data_dir / f"{name}.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([("text", "label"), *rows])
            import_file(opened, path, split=split)
        opened.add_all([User(name="simulated", role="reviewer"), User(name="leading", role="lead")])
        opened.commit()


def _train(made: Stack, after: int) -> int:
    """Start a training and wait for its version; returns the id."""
    with session(made.settings.postgres_url) as opened:
        trigger.request(opened, made.settings.broker, "the benchmark", actor="benchmark")
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with session(made.settings.postgres_url) as opened:
            run = training_runs.newest(opened)[0]
            if run.state == "failed":
                raise SystemExit(f"training run {run.id} failed: {run.error}")
            if run.state == "done" and run.model_version_id and run.model_version_id > after:
                return run.model_version_id
        time.sleep(2)
    raise SystemExit("no training ended in time; see worker.log in the stack's folder")


def _until_proposed(
    made: Stack, arriving: Sequence[str], traffic: Sequence[str], truth: Mapping[str, str]
) -> dict[str, int | None]:
    """Send all documents; returns how many foreign ones and decisions it took until a topic was mostly foreign."""
    known, decisions = list(traffic), 0
    found: dict[str, int | None] = {}
    for start in range(0, len(arriving), _AT_ONCE):
        now, known = [*arriving[start : start + _AT_ONCE], *known[: _KNOWN * _AT_ONCE]], known[_KNOWN * _AT_ONCE :]
        random.Random(start).shuffle(now)
        made.queue.append([Document(f"{start}-{i}", each, "bench") for i, each in enumerate(now)], "bulk")
        made.wait_drained()
        with session(made.settings.postgres_url) as opened:
            while rescore.stale(opened) is not None:
                opened.rollback()
                time.sleep(1)
            ids = {name: id_ for id_, name in opened.execute(select(Label.id, Label.name))}
            reviewer = opened.scalars(select(User.id).where(User.name == "simulated")).one()
            known_ids = {each: ids.get(label) for each, label in truth.items()}
            decisions += len(decide(opened, reviewer, known_ids, _DECIDES)[0])
        _group(made)
        with session(made.settings.postgres_url) as opened:
            if not found and _proposed(opened, truth):
                found = {"documents_to_proposal": min(start + _AT_ONCE, len(arriving)),
                         "decisions_to_proposal": decisions}  # fmt: skip
                say(str(found))
    return found or {"documents_to_proposal": None, "decisions_to_proposal": None}


def _group(made: Stack) -> None:
    """Press *Group again*, and wait until it is done."""
    with session(made.settings.postgres_url) as opened:
        before = groupings.shown(opened, NEW_LABEL)
        groupings.ask(opened)
        opened.commit()
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with session(made.settings.postgres_url) as opened:
            shown = groupings.shown(opened, NEW_LABEL)
        if shown is not None and (before is None or shown.id > before.id):
            return
        time.sleep(0.5)
    raise SystemExit("topics were not made in time; see worker.log in the stack's folder")


def _proposed(
    opened: Session, truth: Mapping[str, str], least: int = _LEAST, mostly: float = _MOSTLY
) -> list[list[int]]:  # fmt: skip
    """The foreign documents of each topic that has at least so many of them, and such a share."""
    listed = [each.id for each in topics.listing(opened, NEW_LABEL)]
    found = []
    for ids in topics.typical(opened, listed, 1_000).values():
        foreign = [row.id for row in opened.execute(_TEXTS, {"ids": ids}) if truth.get(row.text) == _FOREIGN]
        if len(foreign) >= least and len(foreign) >= mostly * len(ids):
            found.append(foreign)
    return found


def _make_label(made: Stack, truth: Mapping[str, str]) -> int:
    """What a lead does: makes the label, and gives it to the documents that belong there in each topic they are in."""
    with session(made.settings.postgres_url) as opened:
        lead = opened.scalars(select(User).where(User.name == "leading")).one()
        plan = new_labels.plan(opened, [NewLabel(_FOREIGN)], anyway=True)
        new_labels.check(plan)
        [label] = new_labels.add(opened, plan.new, "user:leading")
        decided = 0
        for ids in _proposed(opened, truth, 1, 0.0):
            bulk = bulk_decisions.preview_of(opened, ids, label.id, lead.id, {}, corrects_none_fits=True)
            decided += len(bulk_decisions.decide(opened, bulk.id, lead.id, "user:leading").document_ids)
        opened.commit()
        say(
            str(
                Counter(
                    row.action for row in opened.execute(text("SELECT action FROM reviews WHERE reason <> 'import'"))
                )
            )
        )
    return decided


def _give_to_the_rest(made: Stack, truth: Mapping[str, str]) -> list[int]:
    """What the lead does next, as the decision's page says; returns how many documents got the label at each look."""
    given = [_ENOUGH]
    while given[-1] >= _ENOUGH:
        with session(made.settings.postgres_url) as opened:
            [label_id] = new_labels.ids(opened, [_FOREIGN])
            shown = [each.id for each in belonging.may_belong(opened, label_id).documents[:MOST]]
            foreign = {row.id for row in opened.execute(_TEXTS, {"ids": shown}) if truth.get(row.text) == _FOREIGN}
            given.append(len(foreign))
            if foreign:
                lead = opened.scalars(select(User).where(User.name == "leading")).one()
                ids = [each for each in shown if each in foreign]
                bulk = bulk_decisions.preview_of(opened, ids, label_id, lead.id, {}, corrects_none_fits=True)
                bulk_decisions.decide(opened, bulk.id, lead.id, "user:leading")
            opened.commit()
    return given[1:]
