"""The map of the house is that of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.snippets import ROOT
from tools import rooms

MAP = rooms.PAGE.read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([a-z_0-9]+(?:/[a-z_0-9]+)+)`", MAP)))
LIVES = re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", MAP, re.MULTILINE)


@pytest.mark.parametrize("path", rooms.PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_tree_and_the_arrows_are_those_of_the_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert rooms.page(text) == text, "run python -m tools.rooms"


def test_every_room_and_module_that_the_map_names_is_there() -> None:
    assert len(NAMED) > 40
    places = {name: ROOT / "asyncflow" / name for name in NAMED}
    assert [name for name, place in places.items() if not (place.is_dir() or place.with_suffix(".py").is_file())] == []


@pytest.mark.parametrize("what", ["a message", "a task", "An ordered key", "A shard"])
def test_the_map_tells_the_way_of_each_thing_as_the_rooms_it_passes(what: str) -> None:
    (way,) = (text for title, text in LIVES if what in title)
    assert len(re.findall(r"`[a-z_]+/[a-z_/]+`", way)) >= 5


def test_a_map_without_a_place_for_the_tree_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the tree"):
        rooms.page("# The map of the house\n")
