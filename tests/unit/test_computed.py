"""What is computed at the first look: once, and under no lock that objects share."""

from __future__ import annotations

import threading

from asyncflow.computed import computed_once
from tests.unit.test_import_law import IMPORTS
from tests.unit.test_wiring import trees


class Slow:
    def __init__(self, may_go: threading.Event) -> None:
        self._may_go = may_go
        self.looks = 0

    @computed_once
    def value(self) -> int:
        """Return it."""
        self.looks += 1
        assert self._may_go.wait(60)
        return self.looks


def test_it_is_computed_once() -> None:
    may_go = threading.Event()
    may_go.set()
    slow = Slow(may_go)
    assert (slow.value, slow.value, slow.looks) == (1, 1, 1)
    assert Slow.value.__doc__ == "Return it."


def test_one_that_takes_long_holds_up_no_other() -> None:
    stuck, quick = Slow(threading.Event()), Slow(threading.Event())
    quick._may_go.set()
    waiting = threading.Thread(target=lambda: stuck.value, daemon=True)
    waiting.start()
    while not stuck.looks:
        waiting.join(0.001)
    assert quick.value == 1
    stuck._may_go.set()
    waiting.join(60)


def test_nothing_is_kept_by_functools_whose_lock_a_fork_may_leave_held() -> None:
    assert len(trees()) > 100
    assert {importer for importer, imported in IMPORTS if imported == "functools.cached_property"} == set()
