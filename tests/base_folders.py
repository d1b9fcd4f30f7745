"""Folders of base models as people have them: right ones, and each kind of wrong one, from one tiny encoder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a1b2c\nsize 90868376\n"
_PIECES = ["my", "card", "is", "lost", "บัตร", "ของ", "ฉัน", "หาย", "कार्ड", "मेरा", "银", "行", "卡", "a", "b", "c"]


def build_tiny_xlmr(folder: Path) -> None:
    """A multilingual encoder with a SentencePiece tokenizer in fast form, random but always the same."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -5.0)]
    pieces += [(start + each, -2.0) for each in _PIECES for start in ("▁", "")]
    backend = Tokenizer(models.Unigram(pieces, unk_id=3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(pieces), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=66, initializer_range=0.3,
    )  # fmt: skip
    XLMRobertaModel(config).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>",
    )  # fmt: skip
    tokenizer.save_pretrained(folder)


def configure(folder: Path, **changes: Any) -> None:
    """Change the encoder's config; None takes a value away."""
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def rename_tensors(folder: Path, rename: Callable[[str], str | None]) -> None:
    """Give the tensors other names; None takes one away."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    tensors = {name: value for key, value in load_file(path).items() if (name := rename(key)) is not None}
    save_file(tensors, path, metadata={"format": "pt"})


def shard(folder: Path) -> list[str]:
    """Put the weights into two files and an index."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    files = {f"model-0000{i + 1}-of-00002.safetensors": names[i::2] for i in range(2)}
    for file, some in files.items():
        save_file({name: tensors[name] for name in some}, folder / file, metadata={"format": "pt"})
    weights = {name: file for file, some in files.items() for name in some}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))
    (folder / "model.safetensors").unlink()
    return sorted(files)


def pickle_weights(folder: Path) -> None:
    """The weights as pytorch_model.bin alone."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def move_into(folder: Path, inside: str) -> None:
    """Move everything into a folder inside it."""
    (folder / inside).mkdir()
    for path in [each for each in folder.iterdir() if each.name != inside]:
        shutil.move(path, folder / inside / path.name)


def as_old_sentence_transformer(folder: Path) -> None:
    """The layout of sentence-transformers before 2021: the encoder in 0_Transformer, the mean in 1_Pooling."""
    move_into(folder, "0_Transformer")
    kinds = (("0_Transformer", "Transformer"), ("1_Pooling", "Pooling"))
    modules = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
               for i, (path, kind) in enumerate(kinds)]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config.json").write_text('{"__version__": "0.2.0"}')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}'
    )
