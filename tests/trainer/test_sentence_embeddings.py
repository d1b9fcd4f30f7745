"""Texts as vectors of a tiny real encoder."""

from pathlib import Path

import numpy as np
from tiny_bert import build_tiny_bert

from trainer.fine_tuning.sentence_embeddings import sentence_embeddings


def test_an_embedding_is_the_mean_over_the_tokens_of_the_text_alone(tiny_base: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    texts = [
        "my card",
        "where is my card? please help, the card has not arrived",
        "",
        "cash " * 300,
        "the cash machine",
    ]
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    model = AutoModel.from_pretrained(tiny_base).eval()

    embeddings = sentence_embeddings(texts, tiny_base, "cpu", 2)

    assert embeddings.shape == (5, 32)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    for text, embedding in zip(texts, embeddings, strict=True):
        tokens = tokenizer(text, truncation=True, max_length=128, return_tensors="pt", padding=False)
        with torch.inference_mode():
            mean = model(**tokens).last_hidden_state[0].mean(dim=0).numpy()
        assert embedding @ (mean / np.linalg.norm(mean)) > 0.999  # bfloat16 has three digits


def test_a_text_longer_than_an_odd_number_of_positions_is_cut(tmp_path: Path) -> None:
    build_tiny_bert(tmp_path, max_length=100)

    long, first_part = sentence_embeddings(["cash " * 300, "cash " * 94], tmp_path, "cpu", 2)

    np.testing.assert_allclose(long, first_part, atol=1e-2)
