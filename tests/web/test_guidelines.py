"""Guidelines: Markdown as people type it, and nothing that could act on the page."""

import time

import pytest

from web.guidelines import guideline_html, summary


def test_markdown_is_shown_as_html_below_the_pages_headings() -> None:
    shown = guideline_html(
        "# Delivery\n\n- late *cards*\n- [rules](https://example.com/a?b=1&c)\n\n|in|out|\n|-|-|\n|1|2|"
    )

    assert "<h3>Delivery</h3>" in shown
    assert "<li>late <em>cards</em></li>" in shown
    assert '<a href="https://example.com/a?b=1&amp;c" rel="noreferrer noopener nofollow">rules</a>' in shown
    assert "<td>1</td>" in shown


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))",
        "[x](data:text/html,<script>)", "![x](https://example.com/pixel)", "<https://example.com/'onmouseover=alert(1)>",
        "`<b>`", "```\n<i>\n```", '[x](https://e.x "\\" onclick=alert(1)")', "a\u202eb", "&lt;script&gt;",
    ],
)  # fmt: skip
def test_nothing_acts(hostile: str) -> None:
    shown = guideline_html(hostile).lower()

    for word in (
        "<script",
        "<img",
        "<b>",
        "<i>",
        'href="javascript',
        'href="data',
        "\u202e",
        " onclick",
        " onmouseover=",
    ):
        assert word not in shown.replace("&quot; onclick", "")


@pytest.mark.parametrize("part", ["[", "![[](", "*a **a ", "> ", "`", "_a", "|a", "<", "[a](b", "&#x41;"])
def test_the_worst_guideline_of_20_000_characters_is_shown_soon(part: str) -> None:
    began = time.process_time()
    guideline_html((part * 20_000)[:20_000])
    assert time.process_time() - began < 1.5


def test_the_first_line_sums_it_up() -> None:
    assert summary("\n## All on **delivery** of `x`\nmore") == "All on delivery of x"
    assert summary("") == summary("***\n---") == ""
    assert len(summary("word " * 100)) <= 140
