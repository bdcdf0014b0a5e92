"""The pages lead to what is there: links, anchors and the paths that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.snippets import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:asyncflow|tests|docs|tools|benchmarks|examples|\.ci)/[\w./-]+)`")
MADE_LATER = {"benchmarks/results/"}  # by `make bench`


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors_of(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def is_dead(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path) if path else page
    return not target.exists() or bool(anchor and anchor not in anchors_of(target))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_of_a_page_is_dead(page: Path) -> None:
    links = [link for link in LINK.findall(text_of(page)) if not re.match(r"https?://", link)]
    assert [link for link in links if is_dead(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    named = set(PATH.findall(text_of(page))) - MADE_LATER
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_the_readme_has_no_link_that_a_package_index_cannot_follow() -> None:
    text = PICTURE.sub("", text_of(ROOT / "README.md"))
    assert [link for link in LINK.findall(text) if not link.startswith(("https://", "#"))] == []


def test_a_picture_of_the_readme_is_there_small_and_told_in_words_for_who_does_not_get_it() -> None:
    found = PICTURE.findall(text_of(ROOT / "README.md"))
    assert found
    for told, path in found:  # a package index shows the words in its place
        assert len(told.split()) >= 8
        assert 0 < (ROOT / path).stat().st_size < 150_000


@pytest.mark.parametrize(
    "what",
    [
        "publisher",
        "queue",
        "registry",
        "dialect",
        "command",
        "finding",
        "metric",
        "event",
        "option",
        "room",
        "## Manners",
        "## Release",
    ],
)
def test_contributing_tells_how_each_thing_is_done(what: str) -> None:
    title = what if what.startswith("#") else f"- **A[n]? {what}.**"
    assert re.search(rf"^{title.replace('*', '[*]')}", text_of(ROOT / "CONTRIBUTING.md"), re.MULTILINE)


BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ENGLISH = [page for page in PAGES if page.is_relative_to(ROOT / "docs") and "zh" not in page.parts]
CHINESE = sorted(ROOT.glob("docs/zh/**/*.md"))


@pytest.mark.parametrize("page", ENGLISH, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_of_a_page_is_run_by_a_test(page: Path) -> None:
    if "python" not in {language for language, _ in BLOCK.findall(text_of(page))}:
        return
    name = str(page.relative_to(ROOT))
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "acceptance").glob("test_*.py")]
    in_order = re.search(r"for page in \(([^)]+)\)", (ROOT / "tests/acceptance/test_readme.py").read_text())
    assert in_order is not None
    assert f'"{name}"' in "".join(tests) or f'"{page.stem}"' in in_order[1], f"no test in tests/acceptance runs {name}"


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_in_chinese_has_the_code_of_the_english_one(page: Path) -> None:
    english = ROOT / "docs" / page.relative_to(ROOT / "docs" / "zh")
    if english.exists():  # the glossary has none
        assert code_of(page) == code_of(english)


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_in_chinese_has_the_titles_the_rows_and_the_names_of_the_english_one(page: Path) -> None:
    english = ROOT / "docs" / page.relative_to(ROOT / "docs" / "zh")
    if english.exists():
        assert titles_of(page) == titles_of(english)
        assert cells_of(page) == cells_of(english)
        assert sorted(names_of(english) - names_of(page)) == []


def test_a_page_without_a_chinese_one_is_told_of_on_the_chinese_first_page() -> None:
    front = ROOT / "docs" / "zh" / "index.md"
    english_only = [
        str(page.relative_to(ROOT / "docs"))
        for page in ENGLISH
        if page.parent.name != "decisions" and not (front.parent / page.relative_to(ROOT / "docs")).exists()
    ]
    assert [name for name in english_only if f"(../{name})" not in text_of(front)] == []


def prose_of(page: Path) -> str:
    return BLOCK.sub("", text_of(page))


def titles_of(page: Path) -> list[int]:
    """Return how deep each title of a page is."""
    return [len(marks) for marks in re.findall(r"^(#+) ", prose_of(page), re.MULTILINE)]


def cells_of(page: Path) -> list[int]:
    """Return how many cells each row of a page's tables has."""
    rows = re.findall(r"^\|.*$", prose_of(page), re.MULTILINE)
    return [len(re.findall(r"(?<!\\)\|", row)) for row in rows]


def names_of(page: Path) -> set[str]:
    """Return the options, classes and commands that a page names."""
    return {" ".join(name.split()) for name in re.findall(r"`([^`]+)`", prose_of(page).replace("``", "`"))}


def code_of(page: Path) -> list[tuple[str, str]]:
    """Return the blocks of a page without their comments, which are in its language."""
    return [(language, re.sub(r" *#.*", "", source)) for language, source in BLOCK.findall(text_of(page))]
