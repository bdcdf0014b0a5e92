"""The index of decisions is that of the files."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.snippets import ROOT

FOLDER = ROOT / "docs" / "decisions"
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
FILES = sorted(FOLDER.glob("[0-9]*.md"))
ROWS = re.findall(r"^\| (\d{3}) \| \[(.+)\]\((\S+)\) \| \S.* \|$", INDEX, re.MULTILINE)


def title_of(path: Path) -> str:
    first, _, _ = path.read_text(encoding="utf-8").partition("\n")
    return first


def test_every_decision_is_in_the_index_under_its_number_and_title() -> None:
    assert [(f"# {number}: {title}", name) for number, title, name in ROWS] == [
        (title_of(path), path.name) for path in FILES
    ]


def test_every_decision_has_the_number_of_its_file_and_no_other_has_it() -> None:
    numbers = [path.name[:3] for path in FILES]
    assert numbers == [title_of(path)[2:5] for path in FILES]
    assert len(set(numbers)) == len(numbers)


def test_the_numbers_that_no_decision_has_are_told_to_be_free() -> None:
    (line,) = re.findall(r"^Free numbers: ([\d, ]+)\.", INDEX, re.MULTILINE)
    given = {int(path.name[:3]) for path in FILES}
    assert [int(number) for number in line.split(", ")] == sorted({*range(1, max(given))} - given)
