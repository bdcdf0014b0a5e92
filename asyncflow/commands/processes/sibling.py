"""One of several processes of one command, as it knows itself: which it is, and whether its parent is there."""

from __future__ import annotations

import os
import signal
import threading
from typing import NamedTuple

PLACE, LEASH = "ASYNCFLOW_PROCESS", "ASYNCFLOW_PARENT"  # in the environment that the parent gives


class Sibling(NamedTuple):
    """Name a process by its number, 0 for the first, of so many."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number + 1}/{self.of}"

    def port(self, first: int | None) -> int | None:
        """Return the port that is this one's; 0, which is any, is any for each."""
        return first + self.number if first else first

    def environment(self, leash: int) -> dict[str, str]:
        """Return what tells the process which it is, and the file that ends when its parent does."""
        return {PLACE: f"{self.number}/{self.of}", LEASH: str(leash)}


def this_sibling() -> Sibling | None:
    """Return which process this is, if it is one of several; then it is to stop when its parent is no more."""
    place, leash = os.environ.pop(PLACE, None), os.environ.pop(LEASH, None)
    if place is None or leash is None:
        return None
    number, of = map(int, place.split("/"))
    threading.Thread(target=_stop_at_end, args=(int(leash),), name="asyncflow-parent", daemon=True).start()
    return Sibling(number, of)


def _stop_at_end(leash: int) -> None:
    """Wait for the end of a pipe that only the parent can write to: nobody ever does."""
    try:
        while os.read(leash, 1):
            pass
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGTERM)
