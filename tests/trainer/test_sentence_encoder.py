"""The classifier of a sentence encoder begins with the mean of the tokens, as layers that everyone can load."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoModelForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

from sortline.settings import Settings
from tests.trainer.test_fine_tune import examples, job
from trainer.fine_tuning.fine_tune import Machine, fine_tune
from trainer.fine_tuning.job import open_job
from trainer.fine_tuning.kept_embeddings import kept_embeddings
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.pooling import pools_by_mean
from trainer.fine_tuning.sentence_embeddings import mean_of_tokens
from trainer.fine_tuning.sentence_encoder import add_mean, probed
from trainer.fine_tuning.trainee import last_linear, load_trainee, pad


def says_pooling(base: Path, **modes: bool) -> Path:
    modules = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (base / "modules.json").write_text(json.dumps(modules))
    (base / "1_Pooling").mkdir()
    (base / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    return base


@pytest.fixture
def mean_base(tiny_base: Path, tmp_path: Path) -> Path:
    """The tiny base model as a sentence encoder that pools by the mean."""
    folder = tmp_path / "mean"
    shutil.copytree(tiny_base, folder)
    return says_pooling(folder, pooling_mode_cls_token=False, pooling_mode_mean_tokens=True)


def as_pooled(base: Path, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """tanh(LayerNorm(16 * mean + first)) of the base model's own last states."""
    with torch.inference_mode():
        states = AutoModel.from_pretrained(base)(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = (states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return torch.tanh(torch.nn.functional.layer_norm(16 * mean + states[:, 0], states.shape[2:]))


def test_the_head_reads_the_mean_of_a_texts_own_tokens(mean_base: Path) -> None:
    model = load_trainee(job(mean_base))
    ids, mask = pad([np.array(each) for each in examples(9).documents], 0)
    seen: list[torch.Tensor] = []
    last_linear(model, 3).register_forward_pre_hook(lambda _, given: seen.append(given[0]))

    with torch.inference_mode():
        model.eval()(input_ids=ids, attention_mask=mask)

    assert not mask.all()
    torch.testing.assert_close(seen[0], as_pooled(mean_base, ids, mask), atol=1e-4, rtol=1e-4)


def test_another_types_head_reads_the_mean_too(tmp_path: Path) -> None:
    config = RobertaConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64, num_labels=3
    )
    model = RobertaForSequenceClassification(config)
    model.save_pretrained(tmp_path)
    ids, mask = pad([np.array(each) for each in examples(9).documents], 1)
    seen: list[torch.Tensor] = []

    add_mean(model)
    model.classifier.out_proj.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        model.eval()(input_ids=ids, attention_mask=mask)

    assert pools_by_mean(says_pooling(tmp_path, pooling_mode_mean_tokens=True))
    torch.testing.assert_close(seen[0], as_pooled(tmp_path, ids, mask), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "modes", [{"pooling_mode_cls_token": True}, {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, {}]
)
def test_what_pools_otherwise_is_left_as_it_is(tiny_base: Path, tmp_path: Path, modes: dict[str, bool]) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)

    model = load_trainee(job(says_pooling(folder, **modes)))

    assert model.config.num_hidden_layers == 2


@pytest.mark.parametrize("modules", ["", "{}", "[1]", '[{"path": "../x", "type": "a.Pooling"}]'])
def test_a_modules_file_that_makes_no_sense_says_nothing(tiny_base: Path, tmp_path: Path, modules: str) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)
    (folder / "modules.json").write_text(modules)

    assert not pools_by_mean(folder)


def test_a_new_head_is_a_logistic_regression_on_what_the_encoder_says(
    mean_base: Path, settings: Settings, tmp_path: Path
) -> None:
    made = job(mean_base, epochs=1, learning_rate=1e-12, head_factor=1)

    stages: dict[str, dict[str, int]] = {}
    learned = fine_tune(
        made, tmp_path / "work", Machine.of(settings),
        on_stage=lambda stage, **progress: stages.update({stage: progress}),
    )  # fmt: skip

    count = len(made.train.documents)
    assert stages["reading documents with the pretrained encoder"] == {"done": count, "of": count}
    assert 1 <= stages[f"fitting the head in passes over {count} documents"]["done"] <= 62
    ids, mask = pad([np.array(each) for each in made.train.documents], 0)
    held_out, held_out_mask = pad([np.array(each) for each in made.validation.documents], 0)
    regression = LogisticRegression(C=0.1).fit(as_pooled(mean_base, ids, mask), made.train.targets)
    said = regression.predict(as_pooled(mean_base, held_out, held_out_mask))
    assert np.mean(said == learned.predicted) >= 0.95  # bfloat16 moves a few that lie near a border
    # The encoder's own vectors are kept for others who need them, until the folder gets another job.
    kept = kept_embeddings(tmp_path / "work", len(made.train.documents))
    assert kept is not None
    with torch.inference_mode():
        states = AutoModel.from_pretrained(mean_base)(input_ids=ids, attention_mask=mask).last_hidden_state
    expected = mean_of_tokens(states, mask)
    assert (kept * expected).sum(axis=1).min() > 0.999
    open_job(job(mean_base, epochs=2), tmp_path / "work", {})
    assert kept_embeddings(tmp_path / "work", len(made.train.documents)) is None


def test_what_comes_of_it_is_a_plain_checkpoint_and_its_children_keep_its_layers(
    mean_base: Path, settings: Settings, tmp_path: Path
) -> None:
    fine_tune(job(mean_base, epochs=1), tmp_path / "work", Machine.of(settings))

    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "work" / "model")
    child = load_trainee(job(tmp_path / "work" / "model", rows=[0, 1, -1]))

    assert plain.config.num_hidden_layers == len(plain.bert.encoder.layer) == 3
    assert child.config.num_hidden_layers == 3
    torch.testing.assert_close(child.bert.encoder.layer[2].state_dict(), plain.bert.encoder.layer[2].state_dict())


def test_the_probe_finds_what_scikit_learn_finds() -> None:
    draw = np.random.default_rng(5)
    targets = np.arange(200) % 3
    features = (draw.normal(size=(200, 8)) + np.eye(3, 8)[targets]).astype(np.float32)

    told: list[tuple[int, int]] = []
    layer = probed(features, targets, torch.ones(3), lambda done, of: told.append((done, of)))

    assert [done for done, _ in told] == list(range(1, len(told) + 1)) and {of for _, of in told} == {62}
    expected = LogisticRegression(C=0.1, tol=1e-8, max_iter=1000).fit(features, targets)
    centred = layer.weight - layer.weight.mean(dim=0)
    np.testing.assert_allclose(centred.detach().numpy(), expected.coef_ - expected.coef_.mean(axis=0), atol=2e-3)


def test_a_fitted_head_asks_for_fewer_epochs_and_slower_steps() -> None:
    fitted = Parameters().settled(888, 77, fitted=True)
    named = Parameters(learning_rate=3e-4, head_factor=2, epochs=7).settled(888, 77, fitted=True)

    assert (fitted.epochs, fitted.learning_rate, fitted.head_factor, fitted.dropout) == (3, 5e-5, 1, None)
    assert (named.epochs, named.learning_rate, named.head_factor) == (7, 3e-4, 2)
    assert Parameters().settled(5000, 77, fitted=True).dropout == 0
    assert Parameters(dropout=0.2).settled(5000, 77, fitted=True).dropout == 0.2
    plain = Parameters().settled(8882, 77)
    assert (plain.learning_rate, plain.dropout) == (1e-4, None)
