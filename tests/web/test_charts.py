"""Plots: nothing of a name gets out of its place, and any data draw something."""

import re
from xml.etree import ElementTree

import pytest

from web.charts import Dot, Plot, dots, lines, matrix, nice_ticks, stacked

HOSTILE = "<script>alert(1)</script>\"'\u202e\x00&" + "漢" * 300
PLOT = Plot("key", "Title <b>", "Says & more")


def draw(name: str) -> dict[str, str]:
    return {
        "lines": lines(PLOT, [name, "b", "c"], {name: [1, 2, 3], "other": [3, 0, 1]}),
        "dots": dots(PLOT, [Dot(name, "50 %", 50, 40, 60), Dot("b", "3 more needed")], high=100, unit=" %"),
        "stacked": stacked(PLOT, {name: (1, 2), "b": (0, 0)}, ("new", "old")),
        "matrix": matrix(PLOT, [name, "b"], {(0, 1): 7, (1, 0): 2}, "model", "person"),
    }


def svg(figure: str) -> ElementTree.Element:
    found = re.search(r"<svg.*</svg>", figure, re.DOTALL)
    assert found
    return ElementTree.fromstring(found.group())


@pytest.mark.parametrize("kind", ["lines", "dots", "stacked", "matrix"])
def test_hostile_names_stay_text_and_the_policy_holds(kind: str) -> None:
    figure = draw(HOSTILE.replace("\x00", ""))[kind]
    assert "<script" not in figure
    assert "<b>" not in figure
    assert "style=" not in figure
    svg(figure)  # it is well formed
    for said in re.findall(r"<text[^>]*>(.*?)</text>", draw("card \u202e arrival")["dots"]):
        assert "\u202e" not in said


@pytest.mark.parametrize("kind", ["lines", "dots", "stacked", "matrix"])
def test_who_cannot_see_reads_a_title_a_description_and_the_figures(kind: str) -> None:
    figure = draw("card arrival")[kind]
    picture = svg(figure)
    assert picture.get("role") == "img"
    assert picture.get("aria-labelledby") == "key-title key-says"
    assert [each.text for each in picture[:2]] == ["Title <b>", "Says & more"]
    table = figure[figure.index("<table>") :]
    assert "card arrival" in table
    assert table.count("<tr>") >= 3


@pytest.mark.parametrize(
    "empty", [lines(PLOT, [], {"a": []}), dots(PLOT, []), stacked(PLOT, {}, ("a",)), matrix(PLOT, [], {}, "a", "b")]
)
def test_without_data_it_says_so(empty: str) -> None:
    assert "Nothing yet." in empty
    assert "<svg" not in empty


def test_what_stands_in_an_empty_plot_can_be_said() -> None:
    assert "Soon &lt;b&gt;" in lines(Plot("key", "Title", "says", "Soon <b>"), [], {"a": []})


def test_one_point_is_a_dot_and_zeros_are_a_line_at_the_bottom() -> None:
    one = svg(lines(PLOT, ["today"], {"a": [5]}))
    assert one.find("circle") is not None
    assert one.find("polyline") is None
    zeros = svg(lines(PLOT, ["a", "b"], {"a": [0, 0]})).find("polyline")
    assert zeros is not None
    assert {point.partition(",")[2] for point in (zeros.get("points") or "").split()} == {"172.0"}


def test_marks_lie_where_the_figures_say() -> None:
    picture = svg(dots(PLOT, [Dot("a", "50 %", 50, 0, 100), Dot("b", "150 %", 150, 100, 200)], high=100))
    middle, beyond = picture.findall(".//circle")
    ends = [float(each.get("x1") or 0) for each in picture.findall("./line")]
    assert float(middle.get("cx") or 0) == pytest.approx((min(ends) + max(ends)) / 2)
    assert float(beyond.get("cx") or 0) == max(ends)  # what is off the scale stays in the picture
    bars = svg(stacked(PLOT, {"a": (1, 3), "b": (2, 0)}, ("new", "old"))).findall("./g/rect")
    widths = [float(each.get("width") or 0) for each in bars]
    assert widths[1] == pytest.approx(3 * widths[0], abs=0.2)
    assert widths[2] == pytest.approx(2 * widths[0], abs=0.2)


@pytest.mark.parametrize("low, high", [(0, 0), (0, 0.4), (0, 1), (-1, 1), (0, 7), (0, 99), (3, 1234567)])
def test_ticks_are_few_and_hold_the_range(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert ticks[0] <= low
    assert ticks[-1] >= high
