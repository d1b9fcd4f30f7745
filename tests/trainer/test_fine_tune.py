"""Fine-tuning in a process of its own: killed, out of memory, out of disk, on several ranks, from a parent."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from classifier.engines.openvino_cache import converted
from sortline.errors import CheckpointError, TrainingError
from sortline.settings import Settings
from tests.conftest import ROOT, environment
from trainer.fine_tuning.fine_tune import Epoch, Examples, Job, Machine, Progress, Started, fine_tune
from trainer.fine_tuning.job import TokenIds, open_job
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.process import _message_of
from trainer.fine_tuning.trainee import label_weights, load_trainee, pad, parameter_groups, suit_attention
from trainer.fine_tuning.training_loop import FineTuning

LABELS = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def copies() -> None:
    """None: what is tested here is the process, and nothing stands between it and its parent."""


def examples(count: int, first: int = 5) -> Examples:
    """Documents whose second token tells the label."""
    draw = random.Random(count)
    targets = [i % 3 for i in range(count)]
    documents = [[2, first + each, *(draw.randrange(8, 40) for _ in range(draw.randint(2, 9))), 3] for each in targets]
    return Examples(documents, targets)


def job(base: Path, count: int = 90, held_out: int = 60, rows: list[int] | None = None, **parameters: Any) -> Job:
    asked = Parameters(**{"epochs": 3, "learning_rate": 1e-3, **parameters})
    settled = asked.settled(count, len(LABELS))
    return Job(base, LABELS, examples(count), examples(held_out), 0, settled, rows)


def launcher(folder: Path, program: str) -> str:
    """A launcher that does something first, as torchrun would be named in the settings."""
    path = folder / "launcher.py"
    path.write_text(f"import os, sys\n{program}\nos.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n")
    return f"{sys.executable} {path}"


def test_two_ranks_take_the_same_steps_and_make_one_model(tiny_base: Path, settings: Settings, tmp_path: Path) -> None:
    epochs: list[Epoch] = []
    steps: list[Progress] = []
    chosen = settings.model_copy(update={"training_launcher": "torchrun --nproc-per-node 2", "threads": 2})

    learned = fine_tune(job(tiny_base), tmp_path / "work", Machine.of(chosen), steps.append, epochs.append)

    assert (learned.learning.processes, steps[-1].step, steps[-1].steps) == (2, 9, 9)
    assert [each.epoch for each in epochs] == [1, 2, 3]
    assert len(learned.predicted) == 60
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "work" / "model")
    assert model.config.id2label == dict(enumerate(LABELS))


def test_a_child_that_the_kernel_kills_goes_on_with_half_the_documents_at_once(
    tiny_base: Path, settings: Settings, tmp_path: Path
) -> None:
    once = f"m = {str(tmp_path / 'killed')!r}\nif not os.path.exists(m): open(m, 'w'); os.kill(os.getpid(), 9)"
    chosen = settings.model_copy(update={"training_launcher": launcher(tmp_path, once)})

    learned = fine_tune(job(tiny_base), tmp_path / "work", Machine.of(chosen)).learning

    assert learned.micro_batch == 16
    assert learned.steps[-1][0] == 9  # the batch itself is as large as before


def test_memory_for_not_even_one_document_is_one_sentence(tiny_base: Path, settings: Settings, tmp_path: Path) -> None:
    chosen = settings.model_copy(update={"training_launcher": launcher(tmp_path, "os.kill(os.getpid(), 9)")})

    with pytest.raises(TrainingError, match="out of memory even with one document at a time"):
        fine_tune(job(tiny_base, batch_size=4), tmp_path / "work", Machine.of(chosen))


def test_an_allocation_that_fails_is_told_as_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50)
    assert _message_of(raised.value) == {"out_of_memory": True}


def test_a_full_disk_is_one_sentence_and_what_was_written_stays_whole(
    tiny_base: Path, settings: Settings, tmp_path: Path
) -> None:
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    chosen = settings.model_copy(update={"training_launcher": launcher(tmp_path, full), "training_checkpoint_s": 0.0})

    with pytest.raises(TrainingError, match="the disk is full"):
        fine_tune(job(tiny_base), tmp_path / "work", Machine.of(chosen))

    assert not (tmp_path / "work" / "state.pt").exists()
    assert not (tmp_path / "work" / "model").exists()
    assert fine_tune(job(tiny_base), tmp_path / "work", Machine.of(settings)).learning.best_epoch > 0


def test_what_a_callback_raises_ends_the_child(tiny_base: Path, settings: Settings, tmp_path: Path) -> None:
    def stop(_: Progress) -> None:
        raise KeyError("enough")

    def fine_tunings() -> set[int]:  # of this test: Postgres' own processes come and go
        return {
            child.pid
            for child in psutil.process_iter(["cmdline"])
            if "trainer.fine_tuning.process" in (child.info["cmdline"] or ())
            and str(tmp_path) in " ".join(child.info["cmdline"])
        }

    with pytest.raises(KeyError, match="enough"):
        fine_tune(job(tiny_base, epochs=100), tmp_path / "work", Machine.of(settings), stop)
    assert not fine_tunings()


def test_a_process_that_waits_for_its_job_says_whether_the_base_model_can_be_used(
    tiny_base: Path, settings: Settings, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_base, broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "unheard-of"}))
    machine = Machine.of(settings)

    with (
        Started(machine, tmp_path / "other", (broken, "broken")) as process,
        pytest.raises(CheckpointError, match=r"base model broken can't be used: transformers .* doesn't know"),
    ):
        process.check(wait=True)

    with Started(machine, tmp_path / "work", (tiny_base, "tiny")) as process:
        process.check(wait=True)
        learned = fine_tune(job(tiny_base), tmp_path / "work", machine, started=process)
    assert learned.learning.best_epoch > 0


def test_the_process_converts_its_model_for_the_engine_and_says_what_is_no_step(
    tiny_base: Path, settings: Settings, tmp_path: Path
) -> None:
    stages: list[tuple[str, dict[str, int]]] = []
    cache = tmp_path / "cache"

    fine_tune(
        job(tiny_base, epochs=1), tmp_path / "work", Machine.of(settings), convert_into=cache,
        on_stage=lambda stage, **progress: stages.append((stage, progress)),
    )  # fmt: skip

    (entry,) = cache.iterdir()
    began = entry.stat().st_mtime_ns
    assert converted(tmp_path / "work" / "model", cache).parent == entry
    assert entry.stat().st_mtime_ns >= began  # it was there, and intact
    assert len(list(cache.iterdir())) == 1
    assert ("validating epoch 1 of 1", {"done": 60, "of": 60}) in stages
    assert stages[-2:] == [("writing the model", {}), ("preparing the model for this machine's engine", {})]


def test_token_ids_in_one_array_are_those_of_the_lists() -> None:
    lists = [[2, 5, 3], [2, 3], [2, 9, 9, 9, 3]]

    made = TokenIds.joined([TokenIds.of(lists[:1]), TokenIds.of(lists[1:]), TokenIds.of([])])

    assert [each.tolist() for each in made] == lists
    assert [each.tolist() for each in made[1:]] == lists[1:]
    assert (made.lengths.tolist(), len(made), made[-1].tolist()) == ([3, 2, 5], 3, lists[-1])
    assert made.ids.nbytes == 40
    with pytest.raises(IndexError):
        made[3]


def test_a_killed_parent_leaves_no_child_and_the_next_one_goes_on(
    tiny_base: Path, settings: Settings, tmp_path: Path
) -> None:
    chosen = settings.model_copy(update={"training_checkpoint_s": 0.0})
    program = (
        "import sys; from pathlib import Path; from tests.trainer.test_fine_tune import job\n"
        "from sortline.settings import Settings; from trainer.fine_tuning.fine_tune import Machine, fine_tune\n"
        f"fine_tune(job(Path({str(tiny_base)!r}), epochs=20, patience=20), Path({str(tmp_path / 'work')!r}), "
        "Machine.of(Settings(_env_file=None)), lambda p: print(p.step, flush=True))"
    )
    paths = f"{ROOT}:{ROOT / 'tests'}"
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment(chosen, PYTHONPATH=paths)
    )
    assert parent.stdout is not None
    while int(parent.stdout.readline() or 10**6) < 5:
        pass
    children = psutil.Process(parent.pid).children(recursive=True)
    assert children

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    deadline = time.monotonic() + 60
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    learned = fine_tune(job(tiny_base, epochs=20, patience=20), tmp_path / "work", Machine.of(chosen)).learning
    assert learned.resumed_from >= 4
    assert learned.redone <= 1  # a state was written after each step
    assert learned.steps[-1][0] == 60


def in_process(made: Job, work: Path) -> dict[str, torch.Tensor]:
    """Fine-tune without a child; returns the weights."""
    open_job(made, work, {"device": "cpu", "threads": 2, "checkpoint_s": 60.0})
    FineTuning(work, made.parameters.batch_size, lambda **_: None).run()
    return load_file(work / "model" / "model.safetensors")


ARCHITECTURES = {
    "RobertaConfig": {"max_position_embeddings": 66, "pad_token_id": 1, "type_vocab_size": 1},
    "DebertaV2Config": {"max_position_embeddings": 64, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "ModernBertConfig": {"max_position_embeddings": 64, "pad_token_id": 0},
    "ElectraConfig": {"max_position_embeddings": 64, "embedding_size": 16},
    "DistilBertConfig": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 64},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_any_encoder_with_a_classification_head_learns(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = getattr(transformers, name)(
        vocab_size=200, num_labels=2, **({} if name == "DistilBertConfig" else sizes), **ARCHITECTURES[name]
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "base")
    made = job(tmp_path / "base", epochs=15, patience=15, learning_rate=5e-3, head_factor=1)
    made = Job(made.base, made.labels, made.train, made.validation, config.pad_token_id, made.parameters)

    weights = in_process(made, tmp_path / "work")

    assert all(torch.isfinite(each).all() for each in weights.values())
    learned = json.loads((tmp_path / "work" / "learning.json").read_text())
    assert learned["steps"][-1][1] < learned["steps"][0][1]
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "work" / "model")
    assert (model.config.num_labels, model.config.vocab_size) == (3, 200)


def test_words_that_no_document_has_keep_their_pretrained_rows(tiny_base: Path, tmp_path: Path) -> None:
    before = load_file(tiny_base / "model.safetensors")["bert.embeddings.word_embeddings.weight"]

    after = in_process(job(tiny_base), tmp_path)["bert.embeddings.word_embeddings.weight"]

    changed = (after != before).any(dim=1)
    assert after.shape == before.shape
    assert changed[5]
    assert not changed[45:].any()


def test_the_parents_rows_of_known_labels_are_kept(tiny_base: Path) -> None:
    parent = AutoModelForSequenceClassification.from_pretrained(tiny_base)

    model = load_trainee(job(tiny_base, rows=[2, -1, 0]))

    assert torch.equal(model.classifier.weight[0], parent.classifier.weight[2])
    assert torch.equal(model.classifier.weight[2], parent.classifier.weight[0])
    assert not any(torch.equal(model.classifier.weight[1], row) for row in parent.classifier.weight)


def test_early_stopping_takes_the_best_epoch(tiny_base: Path, tmp_path: Path) -> None:
    made = job(tiny_base, epochs=40, patience=2, learning_rate=0.02)

    in_process(made, tmp_path)

    learned = json.loads((tmp_path / "learning.json").read_text())
    scores = [each["macro_f1"] for each in learned["epochs"]]
    assert scores[learned["best_epoch"] - 1] == max(scores)
    assert len(scores) == min(40, learned["best_epoch"] + 2)


def test_heads_learn_faster_and_lower_layers_slower(tiny_base: Path) -> None:
    asked = Parameters(learning_rate=1e-4, head_factor=10, layer_decay=0.5)
    model = load_trainee(job(tiny_base))
    names = {id(weight): name for name, weight in model.named_parameters()}
    rates = {names[id(weight)]: group["lr"] for group in parameter_groups(model, asked) for weight in group["params"]}

    assert rates["classifier.weight"] == pytest.approx(1e-3)
    assert rates["bert.pooler.dense.weight"] == pytest.approx(1e-4)
    assert rates["bert.encoder.layer.1.output.dense.weight"] == pytest.approx(1e-4)
    assert rates["bert.encoder.layer.0.output.dense.weight"] == pytest.approx(5e-5)
    assert rates["bert.embeddings.word_embeddings.weight"] == pytest.approx(2.5e-5)
    decays = [group["weight_decay"] for group in parameter_groups(model, asked)]
    assert set(decays) == {0.0, asked.weight_decay}


def test_balanced_labels_count_alike_and_a_rare_one_at_most_tenfold() -> None:
    targets = [0] * 100 + [1] * 20
    weights = label_weights(targets, 2, Parameters(class_weighting="balanced")).numpy()

    assert weights[1] / weights[0] == pytest.approx(5)
    assert np.mean(weights[targets]) == pytest.approx(1)
    rare = label_weights([0] * 10_000 + [1], 2, Parameters(class_weighting="balanced")).numpy()
    assert rare[1] / rare[0] == pytest.approx(20, rel=0.01)  # ten against a half
    assert label_weights(targets, 2, Parameters()).tolist() == [1, 1]


def test_short_documents_on_a_cpu_are_attended_to_step_by_step_and_say_the_same(tiny_base: Path) -> None:
    model, made = load_trainee(job(tiny_base)).eval(), job(tiny_base)
    ids, mask = pad([np.array(each) for each in made.train.documents[:8]], 0)
    long = examples(2)
    long.documents[1] = long.documents[1] * 60

    with torch.inference_mode():
        fused = model(input_ids=ids, attention_mask=mask).logits
        suit_attention(model, made, "cuda")
        suit_attention(model, replace(made, validation=long), "cpu")
        unchanged = model.config._attn_implementation
        suit_attention(model, made, "cpu")
        written_out = model(input_ids=ids, attention_mask=mask).logits

    assert (unchanged, model.config._attn_implementation) == ("sdpa", "eager")
    torch.testing.assert_close(fused, written_out)


def test_dropout_is_the_base_models_own_unless_it_is_asked_for(tiny_base: Path) -> None:
    def rates(**asked: float) -> set[float]:
        model = load_trainee(job(tiny_base, **asked))
        return {each.p for each in model.modules() if isinstance(each, torch.nn.Dropout)}

    assert rates() == {0.1}
    assert rates(dropout=0.3) == {0.3}
    assert rates(dropout=0) == {0}
