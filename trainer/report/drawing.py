"""How the pictures of a training report are drawn: inline SVG that takes its colours and fonts from the page."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from sortline.label_names import blot_unseen

INK, SOFT, LINE, BLUE, ORANGE = "#1d2329", "#5b6670", "#d9dee3", "#0072b2", "#d55e00"
_VARIABLES = {INK: "ink", SOFT: "soft", LINE: "line", BLUE: "right", ORANGE: "wrong"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sortline",
    "text.parse_math": False,
    "font.size": 8.5,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
}
_NAME_LENGTH = 30
_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture, its title, which says what it shows, and a caption on how to read it.

    ``wide``: it needs the page's whole width, and scrolls where the page is narrower.
    """

    title: str
    caption: str
    svg: Markup
    wide: bool = False


@contextmanager
def drawing(width: float, height: float, font: float = 8.5) -> Iterator[Figure]:
    """A figure in the style of the page; width and height are in inches."""
    with rc_context({**_STYLE, "font.size": font}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the reader's browser has the fonts, this machine need not
        yield Figure(figsize=(width, height), layout="constrained")


def axes_of(figure: Figure, x: str, y: str, grid: bool = True) -> Axes:
    """The figure's only axes, with these labels."""
    axes = figure.subplots()
    assert isinstance(axes, Axes)
    dress(axes, x, y, grid)
    return axes


def dress(axes: Axes, x: str, y: str, grid: bool = True) -> None:
    """Label the axes."""
    axes.set(xlabel=x, ylabel=y)
    axes.grid(grid)


def plain(name: str, length: int = _NAME_LENGTH) -> str:
    """A label's name on one line, cut, without invisible characters."""
    seen = " ".join(blot_unseen(name, " ").split())
    return seen if len(seen) <= length else seen[: length - 1] + "…"


def finished(figure: Figure, name: str, title: str, caption: str, wide: bool = False) -> Plot:
    """The drawn figure as a plot.

    Args:
        name: begins the ids in the drawing, which are unique on the page.
    """
    # savefig draws a figure with a layout twice, so it is laid out before, as it will be written, and then has none.
    FigureCanvasSVG(figure)
    figure.dpi = 72
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine(None)
    written = io.StringIO()
    figure.savefig(
        written, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    return Plot(title, caption, _for_page(written.getvalue(), name, title), wide)


def _for_page(drawn: str, name: str, title: str) -> Markup:
    """The drawing with the page's colours and fonts, without a size, and with ids of its own."""
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    root = ElementTree.fromstring(drawn)  # nosec B314  # noqa: S314 - drawn by matplotlib
    for parent in list(root.iter()):
        for style in parent.findall(f"{{{_SVG}}}style"):  # they would style the whole page
            parent.remove(style)
    for element in root.iter():
        _settle(element, name)
    _, _, width, _ = root.attrib["viewBox"].split()
    for key in ("width", "height"):
        del root.attrib[key]
    root.attrib |= {"role": "img", "aria-label": title, "style": f"max-width: {float(width) / 8.5:.1f}rem"}
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - text in it is escaped by ElementTree


def _settle(element: ElementTree.Element, name: str) -> None:
    for key, value in element.attrib.items():
        if key == "id":
            element.attrib[key] = f"{name}-{value}"
        elif key.endswith("href"):
            element.attrib[key] = f"#{name}-{value.removeprefix('#')}"
        elif key == "clip-path":
            element.attrib[key] = value.replace("#", f"#{name}-")
        elif key == "style":
            fontless = re.sub(r"font-family:[^;]*;?", "", value)
            element.attrib[key] = re.sub(r"#[0-9a-f]{6}", lambda found: _themed(found[0]), fontless)


def _themed(colour: str) -> str:
    return f"var(--{_VARIABLES[colour]}, {colour})" if colour in _VARIABLES else colour
