"""The site: `make docs` builds it into build/docs with Sphinx, and fails at a broken link or a page that is not listed.

Why Sphinx: docs/decisions/0019-site.md.
"""

from sphinx.application import Sphinx

# What stands at the left of every page. Pages of decisions/ are listed by themselves.
NAVIGATION = {
    "Start": ["quickstart", "text-classification-step-by-step"],
    "Guides": [
        "files",
        "producers",
        "results",
        "reviewers",
        "leads",
        "model-owners",
        "operators",
        "servers",
        "faults",
        "scale",
        "privacy",
    ],
    "Reference": ["http", "streams", "settings", "security", "measured", "benchmarks", "decisions/README"],
}

project = "Sortline"
html_title = "Sortline"
extensions = ["myst_parser"]
root_doc = "index"
myst_heading_anchors = 4  # as code hosts name them
myst_enable_extensions = ["html_image"]  # a picture with a width
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    """Put in what Markdown for a code host has no words for."""
    app.connect("source-read", _complete)


def _complete(_app: Sphinx, name: str, source: list[str]) -> None:
    if "/" not in name:  # files of the repository, of which the site has copies
        source[0] = source[0].replace("](../", "](path:../")
    if name == root_doc:
        source[0] += "".join(_toctree(f":caption: {caption}", pages) for caption, pages in NAVIGATION.items())
    elif name == "decisions/README":
        source[0] += _toctree(":glob:", ["0*"])


def _toctree(option: str, pages: list[str]) -> str:
    return "\n".join(["\n```{toctree}", ":hidden:", option, "", *pages, "```\n"])
