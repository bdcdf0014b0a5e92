"""One word, one thing: in the names of classes, and in the lexicon."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.snippets import ROOT

PACKAGE = ROOT / "asyncflow"
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
LEXICON = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", MAP.split("## Words")[1], re.MULTILINE)[2:]
TERMS = [term.strip() for terms in LEXICON for term in terms.split(",")]
# Not in names: what they stood for has a word of the lexicon.
REPLACED = {"pair": "lane", "beside": "second writer"}


# Types that share a name, each with its reason.
SHARED = {
    "Migration": "as Django has each migration named",
    "Outcome": "of a publisher, and of a task of which a program tells the service: both are imported by applications",
}


def types() -> Iterator[tuple[str, Path]]:
    """Yield the classes, and what is assigned to a name like a class's; not the variables of types."""
    for path, source in SOURCES.items():
        tree = ast.parse(source)
        yield from ((node.name, path) for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
        yield from ((name, path) for node in tree.body if (name := aliased(node)) is not None)


def aliased(node: ast.stmt) -> str | None:
    """Return the name like a class's to which a statement assigns a type."""
    if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None or "TypeVar(" in ast.unparse(node.value):
        return None
    name = ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
    return name if re.fullmatch(r"_?[A-Z]+[a-z]\w*", name) else None


def names(path: Path) -> set[str]:
    """Return the names that a module gives: to functions, their parameters, attributes and variables."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(SOURCES[path])):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return found


def test_no_two_types_share_a_name() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, path in types():
        places[name.lstrip("_")].append(str(path.relative_to(PACKAGE)))
    shared = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert {name: paths for name, paths in shared.items() if name not in SHARED} == {}
    assert shared.keys() == SHARED.keys()


@pytest.mark.parametrize("room", ["heads", "relay", "loops"])
def test_what_the_lexicon_has_a_word_for_has_no_other_name(room: str) -> None:
    parts = {
        (path.name, name)
        for path in SOURCES
        if path.parent == PACKAGE / "scheduler" / room
        for name in names(path)
        if REPLACED.keys() & {part.removesuffix("s") for part in name.lower().split("_")}
    }
    assert parts - {("alternation.py", "pair")} == set(), f"take the words of the lexicon: {REPLACED}"


@pytest.mark.parametrize("term", TERMS)
def test_every_term_of_the_lexicon_is_used(term: str) -> None:
    word = re.compile(rf"\b{re.escape(term)}", re.IGNORECASE)
    assert any(map(word.search, SOURCES.values())), f"the code has no {term}: take it out of the lexicon"
