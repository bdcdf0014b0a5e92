"""When what is leased is to be renewed, by this process's own clock."""

from __future__ import annotations

import time
from collections.abc import Iterable

_PART_OF_LEASE = 1 / 3  # after which it is renewed, and which is left of it at the least


class RenewalTime:
    """Tell when the leases that one loop holds are to be renewed; used by its thread alone.

    A lease may begin as soon as it is asked for, and its answer may come late: it is counted from before the asking.
    """

    def __init__(self, lease_seconds: float) -> None:
        self.due_at = self._asked_at = 0.0
        self._seconds = lease_seconds * _PART_OF_LEASE

    def begins(self) -> bool:
        """Tell whether it is time; if so, it is asked for from now on."""
        self._asked_at = time.monotonic()
        return self._asked_at >= self.due_at

    def take_in(self, ends: Iterable[float], *, among_others: bool) -> None:
        """Let new leases with these ends be renewed with the others, if there are, or sooner where little is left."""
        soon = self.due_at if among_others else time.monotonic() + self._seconds
        self.due_at = min([soon, *(end - self._seconds for end in ends)])

    def end(self) -> None:
        """Know that all were renewed that could be."""
        self.due_at = self.next_at()

    def ask_again_in(self, seconds: float) -> None:
        """Know that it could not be asked for."""
        self.due_at = time.monotonic() + seconds

    def next_at(self) -> float:
        """Return when to renew again what was renewed, counted from when it was asked for."""
        return self._asked_at + self._seconds
