"""No link goes round the path that the web may lie under: in templates, in scripts, in Python."""

import ast
import re
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
SCRIPTS = sorted(WEB.rglob("*.js"))
MODULES = sorted(WEB.rglob("*.py"))

# An attribute that a browser follows, or a text in an expression, that begins with a slash.
_IN_TEMPLATES = re.compile(
    r"""\b(?:href|src|srcset|action|formaction|poster|data|content)\s*=\s*["']?\s*(?:\d+;\s*url=)?/(?!/)"""
    r"""|(?<!root ~ )(?<!\w)["']/[a-z]"""
)
# The same in a script, but for what link() is given, and for the key / of a keyboard.
_IN_SCRIPTS = re.compile(r"""(?<!link\()["'`]/(?!/|["']:)|\$\{(?:location\.)?origin\}|location\.origin""")
_LEADS = {"RedirectResponse", "HTTPException"}


def leading(tree: ast.AST) -> list[str]:
    """Texts with a slash at their start that an answer sends a browser to, and attributes of HTML, in Python."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in _LEADS:
            found += [text for each in [*node.args, *(k.value for k in node.keywords)] for text in _bare(each)]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += re.findall(r"""\b(?:href|src|action)=["']?/[^"'\s]*""", node.value)
    return found


def _bare(node: ast.AST) -> list[str]:
    """Texts that begin with a slash and are not an argument of link()."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "link":
        return []
    if isinstance(node, ast.JoinedStr):
        first = node.values[:1]
        return [text for each in first for text in _bare(each)]
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) and node.value.startswith("/") else []
    return [text for child in ast.iter_child_nodes(node) for text in _bare(child)]


def test_there_is_something_to_look_at() -> None:
    assert len(TEMPLATES) > 20
    assert {"desk.js", "line.js", "link.js"} <= {each.name for each in SCRIPTS}
    assert len(MODULES) > 40


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda each: each.name)
def test_links_of_templates_begin_with_root(template: Path) -> None:
    assert _IN_TEMPLATES.findall(template.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda each: each.name)
def test_links_of_scripts_are_made_by_link(script: Path) -> None:
    code = re.sub(r"(?m)//.*$", "", script.read_text(encoding="utf-8"))
    assert _IN_SCRIPTS.findall(code) == []


def test_links_of_python_are_made_by_link() -> None:
    found = {str(each.relative_to(WEB)): leading(ast.parse(each.read_text(encoding="utf-8"))) for each in MODULES}
    assert {name: links for name, links in found.items() if links} == {}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (_IN_TEMPLATES, '<a href="/desk">'),
        (_IN_TEMPLATES, "<form action='/labels'>"),
        (_IN_TEMPLATES, '<meta http-equiv="refresh" content="0; url=/desk">'),
        (_IN_TEMPLATES, '{{ box("desk", "/desk") }}'),
        (_IN_SCRIPTS, 'fetch("/desk")'),
        (_IN_SCRIPTS, "fetch(`/desk/${path}`)"),
        (_IN_SCRIPTS, "location.href = '/desk'"),
    ],
)
def test_a_link_that_goes_round_is_seen(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


@pytest.mark.parametrize(
    "code",
    [
        'RedirectResponse("/desk", 303)',
        'RedirectResponse(f"/documents/{id}", 303)',
        'RedirectResponse(link("/a") if x else "/b")',
        'HTTPException(303, "x", {"Location": "/sign-in"})',
        "Markup('<a href=\"/desk\">')",
    ],
)
def test_a_link_of_python_that_goes_round_is_seen(code: str) -> None:
    assert leading(ast.parse(code))
