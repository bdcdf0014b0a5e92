"""The tests mirror the rooms: who knows where a thing is done knows where it is tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.snippets import ROOT

TIERS = ("unit", "integration")
# Folders that name no room, each with its reason.
OTHERS = {
    "integration/benchmarks": "benchmarks are no room of the package; here they run at all",
    "integration/drivers": "drivers of databases, under which all rooms are to hold the same promises",
    "integration/speed": "statements a message: what all rooms together cost, which issues and pages name so",
    "integration/support": "the tests' own network",
    "unit/models": "designs that are searched through before they are built",
}


def folders_of(tier: str) -> set[Path]:
    """Return the folders that hold modules, or folders with modules."""
    base = ROOT / "tests" / tier
    return {folder for path in base.rglob("*.py") for folder in path.parents if folder.is_relative_to(base)}


@pytest.mark.parametrize("tier", TIERS)
def test_every_folder_of_tests_is_that_of_a_room(tier: str) -> None:
    base = ROOT / "tests" / tier
    rooms = {folder: ROOT / "asyncflow" / folder.relative_to(base) for folder in folders_of(tier)}
    strays = [str(folder.relative_to(base.parent)) for folder, room in rooms.items() if not room.is_dir()]
    assert len(rooms) > 10
    assert set(strays) <= OTHERS.keys()


def test_no_folder_is_excepted_that_is_not_there() -> None:
    assert [name for name in OTHERS if not (ROOT / "tests" / name).is_dir()] == []


@pytest.mark.parametrize("tier", TIERS)
def test_every_folder_of_tests_is_a_package_so_that_two_files_may_have_one_name(tier: str) -> None:
    assert [str(folder) for folder in folders_of(tier) if not (folder / "__init__.py").is_file()] == []
