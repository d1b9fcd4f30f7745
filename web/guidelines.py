"""Guidelines of labels: Markdown as people typed it, shown as HTML that can hold nothing of a page's own.

Markup in the text stays text, images are left out, links lead only where links may, and headings begin below those of
the page.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from web.visible import visible

_MOST_BRACKETS = 500  # the parser looks at each again for each: 20,000 of them would take 5 s
_TOP_HEADING, _LAST_HEADING = 3, 6
_SUMMARY = 140
_MARKS = "#*_->`+=~ \t"
_EMPHASIS = re.compile("[*`~]+")


@lru_cache(maxsize=256)
def guideline_html(text: str) -> Markup:
    """A guideline as HTML; one that would take long to read is shown as it was typed."""
    if text.count("[") > _MOST_BRACKETS:
        return Markup('<p class="typed">{}</p>').format(visible(text))
    return Markup(_PARSER.render(text))  # noqa: S704 - the parser escapes, and makes no HTML of what was typed


def summary(text: str) -> str:
    """The first line that says something, without marks, at most 140 characters."""
    line = next((found for each in text.splitlines() if (found := each.strip(_MARKS))), "")
    line = _EMPHASIS.sub("", line)
    return line if len(line) <= _SUMMARY else f"{line[: _SUMMARY - 1].rstrip()}…"


class _Renderer(RendererHTML):
    def text(self, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
        """Text, with marks for what can't be seen."""
        return str(visible(tokens[index].content))

    def code_inline(self, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
        """Code within a line."""
        return f"<code>{visible(tokens[index].content)}</code>"

    def heading_open(self, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
        """A heading below those of the page."""
        return f"<h{_level(tokens[index])}>"

    def heading_close(self, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
        """Its end."""
        return f"</h{_level(tokens[index])}>\n"

    def link_open(self, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
        """A link that tells its target nothing of this page."""
        where: Any = tokens[index].attrGet("href")
        return f'<a href="{escape(str(where))}" rel="noreferrer noopener nofollow">'


def _level(token: Token) -> int:
    return min(_LAST_HEADING, int(token.tag[1:]) + _TOP_HEADING - 1)


_PARSER = MarkdownIt("js-default", {"html": False, "linkify": False}, renderer_cls=_Renderer).disable(
    ["image", "linkify"]
)
