"""A base model whose parts don't belong together is refused before a document is read; whole ones are trained."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from base_folders import (
    LFS,
    as_old_sentence_transformer,
    build_tiny_xlmr,
    configure,
    pickle_weights,
    rename_tensors,
    shard,
)
from sqlalchemy.orm import Session
from tiny_bert import LABELS, build_tiny_bert, build_tiny_checkpoint

from classifier.base_tokenizer import save_tokenizer, training_tokenizer
from classifier.cleaning import Cleaning
from classifier.weights import conversion
from db.queries import training_runs
from sortline.errors import CheckpointError, TrainingError
from sortline.settings import Settings
from tests import loaded
from tests.conftest import environment
from trainer.fine_tuning.base_check import usable_base
from trainer.fine_tuning.job import Examples, Job
from trainer.fine_tuning.parameters import Parameters


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xlmr")
    build_tiny_xlmr(folder)
    return folder


@pytest.fixture
def bert(tiny_base: Path, tmp_path: Path) -> Path:
    """A BERT of the test's own."""
    return Path(shutil.copytree(tiny_base, tmp_path / "bert"))


@pytest.fixture
def multilingual(xlmr: Path, tmp_path: Path) -> Path:
    """A multilingual encoder of the test's own."""
    return Path(shutil.copytree(xlmr, tmp_path / "xlmr"))


def as_roberta(folder: Path) -> None:
    """The config of a RoBERTa over a BERT's weights."""
    configure(folder, model_type="roberta", architectures=["RobertaForMaskedLM"], pad_token_id=1)


def without_a_layer(folder: Path) -> None:
    rename_tensors(folder, lambda name: None if ".layer.1." in name else name)


def more_tokens_than_rows(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= {f"word{i}": len(tokenizer["model"]["vocab"]) + i for i in range(50)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def without_special_tokens(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"post_processor": None}))


FAULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("a BERT under the config of a RoBERTa", as_roberta, r"its weights lack .* tensors of a roberta \(roberta\.embeddings"),
    ("tensors of a wrapped model", lambda f: rename_tensors(f, lambda n: f"module.{n}"), r"weights lack 37 of the .*bert\.embed"),
    ("tensors of Sentence Transformers", lambda f: rename_tensors(f, lambda n: n.replace("bert.", "0.auto_model.")), "other names"),
    ("a layer is missing", without_a_layer, r"weights lack 16 of the .*bert.encoder.layer.1"),
    ("another width", lambda f: configure(f, hidden_size=64), r"don't fit its config.json \(bert\..* is .*32.*64"),
    ("fewer layers in the config", lambda f: configure(f, num_hidden_layers=1), "have 2 layers, but config.json says 1"),
    ("more tokens than rows", more_tokens_than_rows, r"token numbers up to \d+, but its weights have \d+"),
    ("no special tokens", without_special_tokens, "adds no token before or after a text"),
    ("a tokenizer of another form", lambda f: (f / "tokenizer.json").write_text('{"version": "9"}'), "download it again"),
    ("a kind that is unknown", lambda f: configure(f, model_type="brandnew", auto_map={"AutoModel": "x.Y"}), "'brandnew', and needs code"),
    ("a kind that reads pictures", lambda f: configure(f, model_type="vit"), "no classifier of texts"),
    ("a decoder that few know", lambda f: configure(f, model_type="persimmon"), r"is a decoder \(persimmon\)"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_parts_that_do_not_belong_together(change: Callable[[Path], object], says: str, bert: Path) -> None:
    change(bert)
    with pytest.raises(CheckpointError, match=says) as refusal:
        usable_base(str(bert))
    assert "\n" not in str(refusal.value)


def test_bare_weights_of_a_bert_under_the_config_of_a_roberta(bert: Path) -> None:
    """Without a prefix the tensors of both have the same names: only the config gives it away."""
    rename_tensors(bert, lambda name: name.removeprefix("bert.") if name.startswith("bert.") else None)
    usable_base(str(bert))
    configure(bert, model_type="roberta", architectures=["BertModel"])
    with pytest.raises(CheckpointError, match="two kinds of model"):
        usable_base(str(bert))
    configure(bert, architectures=None, pad_token_id=1)
    with pytest.raises(CheckpointError, match=r"pads with token 0, but config\.json says 1"):
        usable_base(str(bert))


def job_of(folder: Path, base: Path) -> Job:
    """A fine-tuning of two texts, with three labels."""
    (folder / "tokenizer").mkdir()
    save_tokenizer(base, folder / "tokenizer")
    tokenizer = training_tokenizer(folder / "tokenizer", base, 64)
    documents = [each.windows[0] for each in tokenizer.prepare([Cleaning()("my card is lost"), "บัตร ของ ฉัน หาย"])]
    return Job(base, LABELS, Examples(documents, [0, 1]), Examples([], []), tokenizer.pad_id, Parameters())


def logits_of(job: Job) -> np.ndarray:
    import torch

    from trainer.fine_tuning.trainee import load_trainee, pad

    ids, mask = pad([np.array(each) for each in job.train.documents], job.pad_id)
    with torch.inference_mode():
        return np.asarray(load_trainee(job).eval()(input_ids=ids, attention_mask=mask).logits)


def test_a_multilingual_encoder_is_used(multilingual: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path, usable_base(str(multilingual)))
    assert job.pad_id == 1
    assert (job.train.documents[0][0], job.train.documents[0][-1]) == (0, 2)
    assert 3 not in job.train.documents[1]  # it knows Thai
    logits = logits_of(job)
    assert logits.shape == (2, len(LABELS))
    assert np.isfinite(logits).all()


def whole(_: Path) -> None:
    pass


def old_names(folder: Path) -> None:
    """As the first BERTs were saved."""
    rename_tensors(
        folder,
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
    )


def without_pooler(folder: Path) -> None:
    """As a model that was pretrained on masked words alone."""
    rename_tensors(folder, lambda name: None if "pooler" in name else name)


@pytest.mark.parametrize("change", [whole, shard, as_old_sentence_transformer, old_names, without_pooler])
def test_usual_layouts_are_used(change: Callable[[Path], object], bert: Path, tmp_path: Path) -> None:
    change(bert)
    job = job_of(tmp_path, usable_base(str(bert)))
    assert job.begins_fitted == (change is as_old_sentence_transformer)
    assert np.isfinite(logits_of(job)).all()


def test_a_vocabulary_without_a_fast_tokenizer_is_used(bert: Path) -> None:
    vocabulary = json.loads((bert / "tokenizer.json").read_text())["model"]["vocab"]
    (bert / "tokenizer.json").unlink()
    (bert / "tokenizer_config.json").unlink()
    (bert / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    usable_base(str(bert))


def test_the_advice_for_a_pickle_works(bert: Path) -> None:
    pickle_weights(bert)
    with pytest.raises(CheckpointError) as refusal:
        usable_base(str(bert))
    command = conversion("AutoModel", bert, ", use_safetensors=False")
    assert command in str(refusal.value)
    program = command.removeprefix("python -c ").strip("\"'").replace("'\"'\"'", "'")
    exec(compile(program, "advice", "exec"), {})
    usable_base(str(bert))


def test_a_checkpoint_of_our_own_starts_with_a_new_head(tmp_path: Path) -> None:
    """Its labels were others, even where there are as many of them."""
    from safetensors.torch import load_file

    from trainer.fine_tuning.trainee import load_trainee

    build_tiny_checkpoint(tmp_path / "checkpoint")
    base = usable_base(str(tmp_path / "checkpoint"))
    model = load_trainee(job_of(tmp_path, base))
    kept = load_file(base / "model.safetensors")
    state = model.state_dict()
    assert (state["bert.encoder.layer.0.output.dense.weight"] == kept["bert.encoder.layer.0.output.dense.weight"]).all()
    assert (state["classifier.weight"] != kept["classifier.weight"]).any()


def test_the_fine_tuning_itself_refuses_random_weights(bert: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path, bert)
    without_a_layer(bert)
    with pytest.raises(TrainingError, match=r"weights lack 16 of the .*bert.encoder.layer.1"):
        logits_of(job)


def test_a_training_fails_before_it_freezes_documents(
    session: Session, train_now: Callable[..., int], import_lines: Callable[..., object], bert: Path
) -> None:
    import_lines(["text,label", *(f"my card {i},card" for i in range(9)), *(f"cash {i},cash" for i in range(9))])
    as_roberta(bert)
    with pytest.raises(CheckpointError, match="tensors of a roberta"):
        train_now(base_model=str(bert))
    (run,) = training_runs.newest(session)
    assert run.state == "failed"
    assert run.snapshot_id is None
    assert "tensors of a roberta" in str(run.error)


def test_the_command_line_asks_no_database(settings: Settings, bert: Path, tmp_path: Path) -> None:
    (bert / "model.safetensors").write_bytes(LFS)
    away = environment(settings, SORTLINE_DATABASE_URL="postgresql://127.0.0.1:1/away", SORTLINE_BASE_MODEL=str(bert))
    for command in (["train"], ["train", "--base-model", str(bert)], ["tune", "--trials", "2"]):
        run = loaded.run(["sortline", *command], tmp_path, away)
        assert run.returncode == 1
        assert "git lfs pull" in run.stderr


def test_tiny_models_are_whole(tiny_base: Path, tmp_path: Path) -> None:
    assert usable_base(str(tiny_base)) == tiny_base
    build_tiny_bert(tmp_path / "other", labels=5)
    usable_base(str(tmp_path / "other"))
