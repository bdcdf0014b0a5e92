"""The walk of a message is traced from the code, and arrives."""

from __future__ import annotations

import re

from tools import rooms
from tools.walk import walk

MOST_FILES, MOST_MOVES = 56, 126  # some more than there are, so that the map and not the bound is changed


def test_a_message_passes_the_files_that_the_map_tells_of_in_few_moves() -> None:
    files, moves = walk()
    told = rooms.PAGE.read_text(encoding="utf-8")
    way = told[told.index("## The life of a message") : told.index("## The life of a task")]
    named = {f"{name}.py" for name in re.findall(r"`((?:outbox|scheduler)/[a-z_/]+)`", way)}
    passed = set(files)
    for stop in ("outbox/outbox.py", "scheduler/relay/fetcher.py", "scheduler/publishing/delivery.py"):
        assert stop in passed & named
    assert len(passed & named) >= 20, passed ^ named
    assert len(files) <= MOST_FILES
    assert moves.total() <= MOST_MOVES
