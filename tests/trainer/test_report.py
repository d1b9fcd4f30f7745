"""The report: it says what was measured and what was not, holds no text, and asks no one for anything."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.calibration import softmax
from classifier.decision import FOREIGN
from classifier.figures import Verdict, VersionFigures
from trainer.evaluation.metrics import evaluate
from trainer.report.report import (
    NONE_FITS,
    WORST_ERRORS,
    ReportContent,
    flips,
    suspects,
    texts_of,
    verdict,
    worst_errors,
    write_report,
    write_texts,
)

HOSTILE = ["<script>alert(1)</script>", '"quoted" onload="x', "\u202erevolc", "$\\frac{$", "a\x1bb & <b>", "مرحبا"]
Report = tuple[ReportContent, str, "Page"]
VOID = {"meta", "link", "br", "img", "input"}


class Page(HTMLParser):
    """Elements of a page, and the text inside each kind."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.inside.setdefault(tag, []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]


def with_foreign(content: ReportContent, count: int) -> ReportContent:
    """The same with so many further documents that fit no label, answered with certainty and accepted."""
    labels = len(content.labels)
    surest = np.eye(labels, dtype=np.float32)[np.zeros(count, np.int64)] * 0.9 + np.float32(0.1 / labels)
    probabilities = np.concatenate([content.probabilities, surest])
    targets, accepted = np.append(content.targets, np.full(count, FOREIGN)), np.append(content.accepted, [True] * count)
    ids = list(range(5000, 5000 + count))
    test = evaluate(probabilities, targets, content.labels, accepted, probabilities)
    figures = content.figures.model_copy(update={"test": test})
    return replace(
        content, figures=figures, targets=targets, probabilities=probabilities, uncalibrated=probabilities,
        accepted=accepted, given=[*content.given, *[NONE_FITS] * count], document_ids=[*content.document_ids, *ids],
        texts=[*content.texts, *[f"the text of document {i}" for i in ids]],
    )  # fmt: skip


def content_of(labels: list[str], count: int, **changes: Any) -> ReportContent:
    """Believable content: mostly right answers, document ids 1000, 1001, ..., and a text each."""
    draw = np.random.default_rng(7)
    targets = np.arange(count, dtype=np.int64) % len(labels)
    logits = draw.normal(0, 1.3, (count, len(labels))).astype(np.float32)
    logits[np.arange(count), targets] += 3
    probabilities, uncalibrated = softmax(logits, 1.3), softmax(logits)
    accepted = probabilities.max(axis=1) >= 0.9 if count else np.empty(0, np.bool_)
    ids = list(range(1000, 1000 + count))
    figures = {
        "engine": "openvino-bf16",
        "temperature": 1.3,
        "threshold": 0.9,
        "snapshot": {"train": 900, "validation": 100, "test": count, "left_out": 3, "leaks": 0, "few_examples": labels[:1]},
        "baselines": {"majority": 0.1, "tfidf": 0.7},
        "test": evaluate(probabilities, targets, labels, accepted, uncalibrated).stored(),
        "guarantee": {"risk_target": 0.01, "confidence": 0.95, "proved": False, "documents": 80, "accepted": 59,
                      "errors": 0, "coverage": 0.7, "missing": 240, "sentence": "Evidence is short."},
        "learning": {"steps": [[1, 2.0], [2, 1.0], [3, 0.5]], "epochs": [{"epoch": 1, "loss": 0.6, "accuracy": 0.8, "macro_f1": 0.7}]},
        "engines": {"openvino-int8": {"served": False, "reason": "less accurate", "agreement": 0.8}},
        "latency": {"ms_per_document": 0.9, "ms_single_p50": 6.0},
        "size_bytes": 90_000_000,
        "gate": {
            "outcome": "passed", "against": 11, "better": True, "reason": "better",
            "criteria": [{"name": "accuracy against the active version", "outcome": "passed", "sentence": "accuracy +0.83 points",
                          "figures": {"difference": 0.0083, "low": 0.002, "high": 0.014, "margin": 0.005}}],
            "flips": {"gained": ids[:2], "lost": [*ids[2:4], 77]},
        },
    }  # fmt: skip
    found: dict[str, Any] = {
        "run_id": 42,
        "created_at": datetime(2026, 7, 26, tzinfo=UTC),
        "base_model": "some/base",
        "labels": labels,
        "figures": VersionFigures.model_validate(figures),
        "targets": targets,
        "given": [labels[each] for each in targets],
        "probabilities": probabilities,
        "uncalibrated": uncalibrated,
        "document_ids": ids,
        "texts": [f"the text of document {i}" for i in ids],
        "accepted": accepted,
        "suspects": [
            {"document_id": 5, "text": "a doubtful text", "given": labels[0], "suggested": labels[1], "score": 0.02},
            {
                "document_id": 6,
                "text": "a more doubtful text",
                "given": labels[0],
                "suggested": labels[1],
                "score": 0.01,
            },
        ],
    }
    return ReportContent(**found | changes)


def changed(content: ReportContent, **figures: Any) -> ReportContent:
    return replace(content, figures=VersionFigures.model_validate(content.figures.stored() | figures))


def written(content: ReportContent, folder: Path) -> tuple[str, Page]:
    write_report(folder, content)
    html = (folder / "report.html").read_text(encoding="utf-8")
    return html, Page(html)


def text_of(html: str) -> str:
    return " ".join(" ".join(Page(html).inside["main"]).split()).replace("\u00a0", " ")


def names(count: int) -> list[str]:
    return [f"label_{i}" for i in range(count)]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """An ordinary report, which tests only read."""
    content = content_of(names(4), 200)
    return content, *written(content, tmp_path_factory.mktemp("report"))


def test_it_says_what_was_measured(report: Report) -> None:
    content, html, page = report
    said = text_of(html)
    low, high = content.figures.test.intervals.accuracy
    assert "Passed: shown to be more accurate than version 11." in said
    assert f"{100 * content.figures.test.accuracy:.1f} %" in said
    assert f"{100 * low:.1f} to {100 * high:.1f} %" in said
    assert "guarantee not proved" in said
    assert "Evidence is short." in said
    assert "A proof takes about 240 more calibration documents." in said
    sections = [element["id"] for element in page.all("section")]
    assert sections == ["headline", "gate", "learning", "confusions", "calibration", "labels", "errors", "flips",
                        "suspects", "snapshot", "making"]  # fmt: skip


def test_every_picture_is_there_and_says_what_it_shows(report: Report) -> None:
    _, _, page = report
    pictures = page.all("svg")
    assert len(pictures) == len(page.all("figure")) == len(page.all("figcaption")) == 9
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in pictures)


def test_ids_of_the_pictures_are_their_own_and_every_reference_hits(report: Report) -> None:
    _, html, page = report
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {*re.findall(r"url\(#([^)]+)\)", html), *re.findall(r'xlink:href="#([^"]+)"', html)} <= set(ids)


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    gate = {"outcome": "refused", "reason": "recall lost: <script>alert(1)</script>"}
    content = content_of(HOSTILE, 300, base_model="<img src=x>")
    html, page = written(changed(content, gate=content.figures.gate.stored() | gate), tmp_path)
    assert len(page.all("script")) == 2
    assert "alert" not in "".join(page.inside["script"])
    assert not page.all("img")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert {"<script>alert(1)</script>", '"quoted" onload="x', "\u202erevolc"} <= set(page.inside["bdi"])
    assert "Refused: recall lost: <script>alert(1)</script>." in text_of(html)
    assert "$\\frac{$" in page.inside["svg"]  # no formula


def test_it_holds_no_text_of_any_document(report: Report) -> None:
    _, html, page = report
    assert "the text of document" not in html
    assert "doubtful text" not in html
    assert html.count("text not stored here") == len([each for each in page.all("li") if "data-document" in each])


def test_the_side_file_has_exactly_the_documents_that_the_page_lists(report: Report) -> None:
    content, _, page = report
    listed = {each["data-document"] for each in page.all("li") if "data-document" in each}
    assert set(texts_of(content)) == listed - {"77"}  # it is no test document
    assert texts_of(content)["1000"] == "the text of document 1000"
    assert texts_of(content)["5"] == "a doubtful text"


def test_the_side_file_is_a_script_that_no_text_can_leave(tmp_path: Path) -> None:
    hostile = "</script><script>alert(1)</script>\u2028\u2029\"';\ud800 <!-- \u202e \\"
    content = content_of(names(3), 30)
    write_texts(tmp_path, replace(content, texts=[hostile] * 30))
    raw = (tmp_path / "texts.js").read_bytes()
    assert raw.isascii()
    assert b"<" not in raw
    assignment, _, rest = raw.decode().partition(" = ")
    assert assignment == "window.sortlineTexts"
    assert json.loads(rest)["1000"] == hostile


def test_a_long_text_is_cut() -> None:
    content = content_of(names(3), 30)
    assert len(texts_of(replace(content, texts=["a" * 1_000_000] * 30))["1000"]) == 2_001


def test_nothing_is_asked_of_anyone(tmp_path: Path) -> None:
    html, page = written(content_of(["http://example.org/x", "url(http://example.org)", "c"], 100), tmp_path)
    asked = {
        str(value)
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name.rpartition(":")[2] in ("src", "href", "srcset", "data", "action", "poster", "background")
    }
    assert {each for each in asked if not each.startswith("#")} == {"texts.js", "data:,"}
    styles = "".join(page.inside["style"]) + " ".join(str(a.get("style", "")) for _, a in page.elements)
    assert "url(" not in styles
    assert "@import" not in styles
    assert {tag for tag, _ in page.elements}.isdisjoint({"iframe", "object", "embed", "form", "base", "image", "img"})
    assert "<!DOCTYPE svg" not in html


def test_the_policy_forbids_all_but_the_side_file_and_the_one_script(report: Report) -> None:
    _, html, page = report
    given = next(each["content"] for each in page.all("meta") if each.get("http-equiv") == "Content-Security-Policy")
    policy = dict(part.strip().split(" ", 1) for part in str(given).split(";"))
    script = html.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy["default-src"] == "'none'"
    assert policy["script-src"].split() == ["'self'", "file:", f"'sha256-{digest}'"]
    assert html.index("Content-Security-Policy") < html.index("<style")


def test_without_test_documents_it_says_so(tmp_path: Path) -> None:
    html, page = written(content_of(names(3), 0), tmp_path)
    assert "There are no test documents: nothing here shows how good this model is." in text_of(html)
    assert "There are no test documents to confuse." in text_of(html)
    assert len(page.all("svg")) == 3  # differences, loss and scores


def test_no_figures_at_all(tmp_path: Path) -> None:
    said = text_of(written(content_of(names(3), 40, figures=VersionFigures(), suspects=[]), tmp_path)[0])
    assert "The gate has not judged this model." in said
    assert "No guarantee on the errors among accepted documents is recorded." in said
    assert "The losses of this training are not recorded." in said
    assert "The snapshot's counts are not recorded." in said
    assert "No label looks wrong, or none was checked." in said


@pytest.mark.parametrize("key", ["test", "gate", "snapshot", "guarantee", "learning", "baselines", "threshold"])
def test_any_one_figure_may_be_missing(tmp_path: Path, key: str) -> None:
    html, _ = written(changed(content_of(names(3), 40), **{key: None}), tmp_path)
    assert html.rstrip().endswith("</html>")


@pytest.mark.parametrize("kept", ["documents", "accuracy", "coverage", "per_label", "risk_coverage"])
def test_all_but_one_figure_of_the_test_may_be_missing(tmp_path: Path, kept: str) -> None:
    content = content_of(names(3), 40)
    test = {name: value if name == kept else None for name, value in content.figures.test.stored().items()}
    html, _ = written(changed(content, test=test), tmp_path)
    assert html.rstrip().endswith("</html>")


def test_a_figure_that_is_no_number_is_not_known(tmp_path: Path) -> None:
    content = content_of(names(3), 40)
    test = content.figures.test.stored() | {"macro_f1": float("nan"), "coverage": float("nan"), "risk": None}
    html, _ = written(changed(content, test=test, threshold=2), tmp_path)
    assert "macro-F1 on test not known" in text_of(html)
    assert "accepts nothing: every document goes to a person" in text_of(html)
    assert "nan" not in text_of(html).split()


def test_of_many_labels_the_page_shows_the_most_confused_and_stays_small(tmp_path: Path) -> None:
    labels = names(150)
    content = content_of(labels, 3_000)
    html, page = written(content, tmp_path)
    assert len(html) < 2_000_000
    assert "30 labels shown, of 150" in text_of(html)
    assert "All 150 labels" in text_of(html)
    assert len([each for each in page.all("li") if "data-document" in each]) >= WORST_ERRORS


def test_the_matrix_and_the_confusions_count_what_happened(tmp_path: Path) -> None:
    targets = np.array([0] * 10 + [1] * 10, np.int64)
    predicted = np.array([0] * 7 + [1] * 3 + [1] * 10)
    probabilities = np.eye(2, dtype=np.float32)[predicted] * 0.8 + 0.1
    whole = {
        "targets": targets,
        "probabilities": probabilities,
        "accepted": np.ones(20, np.bool_),
        "uncalibrated": probabilities,
    }
    html, page = written(content_of(["cat", "dog"], 20, **whole), tmp_path)
    assert "The model is wrong on 3 of 20 test documents" in text_of(html)
    assert "cat dog 3 30.0 %" in text_of(html)
    assert {"7", "3", "10"} <= set(page.inside["text"])
    assert "3 of 3 wrong answers would be accepted, 0 right ones go to a person" in text_of(html)


def test_the_worst_errors_are_the_surest() -> None:
    content = content_of(names(3), 600)
    found = worst_errors(content)
    wrong = content.probabilities.argmax(axis=1) != content.targets
    shares = [case.share for case in found.listed]
    assert found.count == wrong.sum() > WORST_ERRORS == len(shares)
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(content.probabilities.max(axis=1)[wrong].max())
    assert all(case.given != case.answer for case in found.listed)


def test_documents_that_no_label_fits_stand_beside_the_scores(tmp_path: Path) -> None:
    content = with_foreign(content_of(["one", "two", "three"], 60), 9)
    write_report(tmp_path, content)
    page = (tmp_path / "report.html").read_text()

    worst = worst_errors(content).listed[:9]
    assert {(each.given, each.answer) for each in worst} == {("none fits", "one")}
    assert "foreign documents accepted" in page
    assert "100.0\u00a0%" in page
    assert "of 9 that fit no label of the model" in page
    assert "AUROC" in page
    alone = (content_of(["one", "two", "three"], 60), content)
    assert len({matrix_of(tmp_path, each) for each in alone}) == 1  # the matrix is that of the known documents


def matrix_of(folder: Path, content: ReportContent) -> str:
    write_report(folder, content)
    page = (folder / "report.html").read_text()
    found = re.search(r"<h3>(The model is wrong on [^<]*)</h3>", page)
    assert found is not None
    return found[1]


def test_what_could_be_promised_is_listed(tmp_path: Path) -> None:
    content = content_of(["one", "two"], 60)
    proved = {"risk_target": 0.05, "proved": True, "accepted": 66, "errors": 1, "coverage": 0.84}
    offers = [
        {"threshold": 2.0, "guarantee": {"risk_target": 0.005, "missing": 700, "coverage": 0.0}},
        {"threshold": 0.8, "guarantee": proved},
    ]
    figures = VersionFigures.model_validate({**content.figures.stored(), "offers": offers})

    write_report(tmp_path, replace(content, figures=figures))

    page = (tmp_path / "report.html").read_text()
    for shown in ("0.5\u00a0%", "about 700 more held-out decisions", "84\u00a0%", "1 wrong of 66 accepted"):
        assert shown in page, shown
    assert "not recorded" not in page.partition("at most wrong")[2].partition("</table>")[0]


def test_flips_are_named_even_where_their_document_is_not_known() -> None:
    lost = flips(content_of(names(3), 30), "lost")
    assert [case.document_id for case in lost.listed] == [1002, 1003, 77]
    assert lost.listed[2].given is None


def test_suspects_come_worst_first_and_mark_the_errors_they_are() -> None:
    content = content_of(names(3), 600)
    assert [case.document_id for case in suspects(content).listed] == [6, 5]
    wrong = worst_errors(content).listed[0].document_id
    doubted = [{"document_id": wrong, "text": "x", "given": "label_0", "suggested": "label_1", "score": 0.1}]
    assert [case.suspect for case in worst_errors(replace(content, suspects=doubted)).listed].count(True) == 1


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"outcome": "passed", "against": 3, "better": False}, "Passed: shown to be not worse than version 3."),
        ({"outcome": "passed", "against": None}, "there was no active version to compare with"),
        ({"outcome": "refused", "against": 3, "reason": "too slow"}, "Refused: too slow."),
        (
            {"outcome": "undecided", "reason": "few documents; a person decides"},
            "Undecided, a person decides: few documents.",
        ),
        ({}, "The gate has not judged this model."),
    ],
)
def test_the_verdict_is_one_sentence(gate: dict[str, Any], said: str) -> None:
    assert said in verdict(Verdict.model_validate(gate))
