"""What changes seldom, kept for longer than the pages that show it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Kept:
    """Keep what was seen for some seconds; lives as long as its desk, and any thread may ask: two at once both look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, object]] = {}

    def see(
        self, what: str, look: Callable[[], T], seconds: float, *, keeps: Callable[[T], bool] = lambda _: True
    ) -> T:
        """Return what ``look`` returns; for so many seconds what it has returned, if it ``keeps`` that."""
        found = self._seen.get(what)
        if found is not None and self._clock() - found[0] < seconds:
            return found[1]  # type: ignore[return-value]
        began = self._clock()
        seen = look()
        if keeps(seen):
            self._seen[what] = (began, seen)
        return seen

    def forget(self, what: str) -> None:
        """Look anew at it."""
        self._seen.pop(what, None)

    def forget_all(self) -> None:
        """Look anew at everything."""
        self._seen.clear()
