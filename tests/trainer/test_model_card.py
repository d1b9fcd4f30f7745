"""The model card, read back by the Hub's own reader and by a Markdown parser."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from classifier.figures import VersionFigures
from trainer.report.model_card import model_card

HOSTILE = ["<script>alert(1)</script>", "a`b``c", "`", "two\nlines", "| pipe", "![x](http://example.org)", "\u202erevo"]
FIGURES: dict[str, Any] = {
    "engine": "openvino-bf16",
    "temperature": 1.25,
    "threshold": 0.93,
    "snapshot": {"train": 9000, "validation": 1000, "test": 400, "left_out": 12, "leaks": 0, "few_examples": ["rare"],
                 "untrained_labels": ["never"], "dropped_labels": [], "conflicts": 3},
    "baselines": {"majority": 0.1, "tfidf": 0.85},
    "test": {
        "documents": 400, "accuracy": 0.93, "macro_f1": 0.86, "weighted_f1": 0.929, "ece": 0.012, "ece_before": 0.034,
        "coverage": 0.8, "risk": 0.006, "intervals": {"accuracy": [0.905, 0.953]},
        "per_label": {
            "weak": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 4, "f1_interval": [0.0, 0.9]},
            "strong": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 40, "f1_interval": [1.0, 1.0]},
            "untested": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0, "f1_interval": [0.0, 1.0]},
        },
    },
    "guarantee": {"risk_target": 0.01, "confidence": 0.95, "proved": False, "missing": 240, "sentence": None},
}  # fmt: skip


def card(figures: dict[str, Any] | None = None, **changes: Any) -> str:
    given: dict[str, Any] = {
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "labels": ["weak", "strong", "untested"],
        "figures": VersionFigures.model_validate(FIGURES if figures is None else figures),
        "snapshot_sha256": "ab" * 32,
        "max_length": 128,
        "created_at": datetime(2026, 7, 26, tzinfo=UTC),
    }
    return model_card(**given | changes)


def section(text: str, title: str) -> str:
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_hub_reads_its_front_matter() -> None:
    data = ModelCard(card()).data
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "text-classification"
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert [(result.metric_type, result.metric_value) for result in data.eval_results] == [
        ("accuracy", 0.93),
        ("f1", 0.86),
    ]


def test_figures_stand_with_their_intervals_and_the_baselines() -> None:
    evaluation = section(card(), "Evaluation")
    assert "| accuracy | 93.0 % | 90.5 to 95.3 % |" in evaluation
    assert "| accuracy of TF-IDF with logistic regression | 85.0 % |" in evaluation
    calibration = section(card(), "Calibration and thresholds")
    assert "1.2500" in calibration
    assert "80.0 % of the documents are accepted; 0.60 % of those are wrong" in calibration


def test_limitations_follow_from_the_figures() -> None:
    said = section(card(), "Limitations")
    assert "few training examples, which it predicts less reliably: `rare`" in said
    assert "does not know, because they had too few training documents: `never`" in said
    assert "Labels without a test document, whose accuracy is unknown: `untested`" in said
    assert "`weak` 50 % (0 to 90 %, 4 test documents)." in said  # the perfect label is not called weak
    assert "7.0 points below accuracy" in said
    assert "not proved" in said
    assert "240 more calibration documents" in said


def test_a_good_model_is_not_given_faults_it_has_not() -> None:
    test = FIGURES["test"] | {"macro_f1": 0.92, "per_label": {}}
    snapshot = {"train": 9000, "leaks": 0, "few_examples": []}
    said = section(card(FIGURES | {"test": test, "snapshot": snapshot, "guarantee": {"proved": True}}), "Limitations")
    assert "less reliably" not in said
    assert "below accuracy" not in said
    assert "not proved" not in said
    assert "TF-IDF" not in said


def test_few_test_documents_leaks_and_a_baseline_that_is_as_good_are_named() -> None:
    figures = FIGURES | {"test": FIGURES["test"] | {"documents": 40}, "baselines": {"tfidf": 0.93}}
    said = section(card(figures | {"snapshot": {"leaks": 7}}), "Limitations")
    assert "It was tested on 40 documents" in said
    assert "no more accurate than TF-IDF" in said
    assert "7 near-duplicates" in said


def test_nothing_measured_is_said_and_not_made_up() -> None:
    text = card({}, snapshot_sha256=None)
    assert ModelCard(text).data.eval_results is None
    assert "has not been measured" in section(text, "Evaluation")
    assert "not recorded" in section(text, "Training data")
    assert "Its accuracy is unknown" in section(text, "Limitations")


@pytest.mark.parametrize("key", sorted(FIGURES))
def test_any_one_figure_may_be_missing(key: str) -> None:
    assert "## How to load it" in card({name: value for name, value in FIGURES.items() if name != key})


def test_hostile_names_stay_text() -> None:
    per_label = dict.fromkeys(HOSTILE, FIGURES["test"]["per_label"]["weak"])
    figures = FIGURES | {
        "test": FIGURES["test"] | {"per_label": per_label},
        "guarantee": {"proved": False, "sentence": "<img src=x> | `x` [y](http://example.org)"},
    }
    body = card(figures, labels=HOSTILE).split("---\n", 2)[2]
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    inline = [child for token in tokens for child in token.children or []]
    kinds = {token.type for token in [*tokens, *inline]}
    assert kinds.isdisjoint({"html_block", "html_inline", "image", "link_open"})
    spans = {child.content for child in inline if child.type == "code_inline"}
    assert {"<script>alert(1)</script>", "a`b``c", "`", "two lines", "| pipe", "![x](http://example.org)"} <= spans


def test_the_folder_of_a_local_base_model_is_not_told(tmp_path: Path) -> None:
    text = card(base_model=str(tmp_path / "tiny"))
    assert str(tmp_path) not in text
    assert "`tiny`" in text
    assert ModelCard(text).data.base_model is None


def test_the_code_that_loads_it_runs(tiny_base: Path) -> None:
    code = section(card(), "How to load it").partition("```python\n")[2].partition("```")[0]
    found: dict[str, Any] = {"folder": tiny_base}
    exec(code, found)
    logits = found["model"](**found["inputs"]).logits[0]
    assert found["probabilities"][0].tolist() == pytest.approx((logits / 1.25).softmax(-1).tolist(), rel=1e-4)
    assert found["label"] == found["model"].config.id2label[int(logits.argmax())]
