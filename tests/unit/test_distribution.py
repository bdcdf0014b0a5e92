"""What a package index and pip are told is true."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from tests.support.snippets import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LINE = re.compile(rf"{PROJECT['name']}\[([\w,-]+)\]")


def versions_of_python() -> list[tuple[int, int]]:
    found = [re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", line) for line in PROJECT["classifiers"]]
    return [(3, int(match[1])) for match in found if match]


def test_the_files_that_the_metadata_name_are_there() -> None:
    assert [name for name in (PROJECT["readme"], *PROJECT["license-files"]) if not (ROOT / name).is_file()] == []


def test_the_versions_of_python_that_are_named_are_among_those_that_pip_lets_in() -> None:
    least = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    assert versions_of_python()
    assert min(versions_of_python()) >= least


def test_a_package_that_is_told_to_be_typed_is() -> None:
    assert ("Typing :: Typed" in PROJECT["classifiers"]) == (ROOT / "asyncflow" / "py.typed").is_file()


FRAMEWORKS = {"django", "fastapi", "flask"}  # of which an application has one already
LARGE = {"rocketmq"}  # by what its client brings along


def test_all_is_every_extra_but_the_frameworks_and_the_large_ones() -> None:
    (line,) = EXTRAS["all"]
    assert set(LINE.fullmatch(line)[1].split(",")) == EXTRAS.keys() - {"all"} - FRAMEWORKS - LARGE  # type: ignore[index]


@pytest.mark.parametrize("where", ["README.md", "docs/*.md", "docs/reference/*.md", "asyncflow/**/*.py"])
def test_every_extra_that_a_page_or_an_error_names_is_there(where: str) -> None:
    lines = [line for path in ROOT.glob(where) for line in LINE.findall(path.read_text(encoding="utf-8"))]
    assert {extra for line in lines for extra in line.split(",")} <= EXTRAS.keys()


def test_addresses_of_the_project_are_such_that_a_package_index_can_show() -> None:
    assert [url for url in PROJECT.get("urls", {}).values() if not url.startswith("https://")] == []
