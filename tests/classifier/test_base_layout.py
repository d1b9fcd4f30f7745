"""A folder that is not a base model is named in one sentence with its cure; those of usual layouts are used."""

import gzip
import http.server
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from base_folders import (
    LFS,
    as_old_sentence_transformer,
    configure,
    move_into,
    pickle_weights,
    shard,
)
from tiny_bert import build_tiny_bert

from classifier.base_models import base_model_folder, base_model_here, refuse_faulty_folder
from sortline.errors import CheckpointError


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    build_tiny_bert(folder)
    return folder


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    """A folder of the test's own with a whole model."""
    return Path(shutil.copytree(bert, tmp_path / "model"))


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def only(name: str, content: bytes = b"x") -> Callable[[Path], object]:
    """Those weights alone."""

    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return change


def alone(name: str, content: bytes = b"x") -> Callable[[Path], object]:
    """That file alone."""

    def change(folder: Path) -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / name).write_bytes(content)

    return change


def adapter(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "org/base"})
    )
    (folder / "adapter_model.safetensors").write_bytes(b"{}")


def adapter_with_config(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def truncated_in_its_head(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:200])


def without_a_shard(folder: Path) -> None:
    (folder / shard(folder)[1]).unlink()


def without_the_index(folder: Path) -> None:
    shard(folder)
    (folder / "model.safetensors.index.json").unlink()


def sentencepiece_alone(folder: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "spiece.model")


def zipped_inside(folder: Path) -> None:
    alone("model.zip")(folder)


FAULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("adapter", adapter, r"only an adapter of org/base .*merge_and_unload"),
    ("adapter beside its base model's config", adapter_with_config, r"only an adapter .*merge_and_unload"),
    ("weights are a pickle", pickle_weights, r"pytorch_model.bin.*AutoModel.from_pretrained"),
    ("weights of TensorFlow", only("tf_model.h5"), "only in TensorFlow form"),
    ("weights of Flax", only("flax_model.msgpack"), "only in Flax form"),
    ("ONNX in a folder", only("onnx/model.onnx"), "only in ONNX form"),
    ("a variant", only("model.fp16.safetensors"), "model.fp16.safetensors holds the model's weights, rename it"),
    ("no weights", lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
    ("truncated weights", truncated, "model.safetensors is incomplete"),
    ("weights cut in the head", truncated_in_its_head, "model.safetensors is incomplete"),
    ("weights that are something else", write("model.safetensors", b"PK" + os.urandom(500)), "model.safetensors is damaged"),
    ("weights without tensors", write("model.safetensors", struct.pack("<Q", 2) + b"{}"), "holds no weights"),
    ("weights of zero bytes", write("model.safetensors", b""), "model.safetensors is empty"),
    ("weights are a pointer", write("model.safetensors", LFS), "model.safetensors is a pointer of Git LFS.*git lfs pull"),
    ("tokenizer is a pointer", write("tokenizer.json", LFS), "tokenizer.json is a pointer of Git LFS"),
    ("a pickle's pointer", only("pytorch_model.bin", LFS), "pytorch_model.bin is a pointer of Git LFS"),
    ("a shard is missing", without_a_shard, r"1 of the 2 files of its weights are missing|1 of the 2 files"),
    ("the index is missing", without_the_index, "model.safetensors.index.json, .* is missing"),
    ("a web page", write("config.json", b"<!DOCTYPE html><title>404</title>"), "config.json is a web page"),
    ("config is broken", write("config.json", b'{"model_type": '), "config.json can't be read"),
    ("config of nothing", lambda folder: configure(folder, model_type=None), "names no model_type"),
    ("no config", lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    ("decoder", lambda folder: configure(folder, model_type="gpt2"), r"is a decoder \(gpt2\)"),
    ("decoder by its head", lambda folder: configure(folder, architectures=["BertLMHeadModel"]), "is a decoder"),
    ("decoder by its flag", lambda folder: configure(folder, is_decoder=True), "is a decoder"),
    ("encoder and decoder", lambda folder: configure(folder, model_type="mt5"), r"encoder with a decoder \(mt5\)"),
    ("quantised", lambda folder: configure(folder, quantization_config={"bits": 4}), "are quantised"),
    ("no tokenizer", lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    ("GGUF", alone("model.gguf"), "holds a decoder"),
    ("a zip inside", zipped_inside, "holds a zip file"),
    ("nothing", alone(".keep"), "has no config.json"),
    ("the model lies deeper", lambda folder: move_into(folder, "download"), r"give .*/model/download"),
    ("the first BERT", alone("bert_config.json", b"{}"), "TensorFlow form"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_folder_that_is_no_base_model(change: Callable[[Path], object], says: str, folder: Path) -> None:
    change(folder)
    with pytest.raises(CheckpointError, match=says) as refusal:
        base_model_folder(str(folder))
    message = str(refusal.value)
    assert str(folder) in message
    assert "\n" not in message
    with pytest.raises(CheckpointError, match=says):  # so does the web, before a run is made
        refuse_faulty_folder(str(folder))


def test_sentencepiece_without_a_fast_tokenizer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentencepiece_alone(folder)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    monkeypatch.setattr("classifier.base_layout.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"pip install sentencepiece.*AutoTokenizer"):
        base_model_folder(str(folder))


@pytest.mark.parametrize("kind", ["zip", "gzip", "gguf", "weights"])
def test_a_file_instead_of_a_folder(kind: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / f"base.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(folder / "config.json", "config.json")
    elif kind == "gzip":
        path.write_bytes(gzip.compress(b"x"))
    else:
        path.write_bytes(b"GGUF" + bytes(20) if kind == "gguf" else (folder / "model.safetensors").read_bytes())
    says = {
        "zip": "is a zip file: unpack",
        "gzip": "is an archive: unpack",
        "gguf": "decoder",
        "weights": "give the folder",
    }
    with pytest.raises(CheckpointError, match=says[kind]):
        base_model_folder(str(path))


def test_an_old_sentence_transformer_is_used(folder: Path) -> None:
    from trainer.fine_tuning.pooling import pools_by_mean

    as_old_sentence_transformer(folder)
    encoder = base_model_folder(str(folder))
    assert encoder == folder / "0_Transformer"
    assert pools_by_mean(encoder)


@pytest.mark.parametrize("inside", ["0_BERT", "snapshots"])
def test_other_places_of_an_encoder_are_found(inside: str, folder: Path) -> None:
    move_into(folder, inside)
    if inside == "snapshots":
        move_into(folder / inside, "0123abc")
        assert base_model_folder(str(folder)) == folder / inside / "0123abc"
    else:
        assert base_model_folder(str(folder)) == folder / inside


def test_weights_in_several_files_are_used(folder: Path) -> None:
    shard(folder)
    assert base_model_folder(str(folder)) == folder


def test_files_that_nobody_reads_may_be_as_they_are(folder: Path) -> None:
    (folder / "requirements.txt").write_bytes(b"")
    (folder / "training_args.json").write_bytes(LFS)
    assert base_model_folder(str(folder)) == folder


def test_what_is_on_this_machine_needs_no_hub(folder: Path) -> None:
    assert base_model_here(str(folder)) == folder
    assert base_model_here("nobody/has-downloaded-this") is None
    refuse_faulty_folder("nobody/has-downloaded-this")


class _Hub(http.server.BaseHTTPRequestHandler):
    """A hub that has a model of pickles alone."""

    def do_GET(self) -> None:
        body = json.dumps({"id": "old/model", "siblings": [{"rfilename": "pytorch_model.bin"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_hub_model_of_pickles_is_refused_before_it_is_downloaded(hub: str, tmp_path: Path) -> None:
    program = (
        "from classifier.base_models import base_model_folder\n"
        "from sortline.errors import CheckpointError\n"
        "try:\n    base_model_folder('old/model')\nexcept CheckpointError as error:\n    print(error)\n"
    )
    environment = os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert "has no weights in safetensors form on the hub" in run.stdout
