"""Credits: how many more tasks of a type may be in the queue and at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim


class Credits:
    """Count the tasks that were handed to a queue and are not settled, by type; any thread may ask and change it.

    There are so many of each type as ``most``. What is settled by others, or has run out, is known by a look at the
    table: ``in_doubt`` names what to look for.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._clock = clock
        self._out: dict[str, dict[HeldClaim, float]] = {}  # by type, with the moment when it was last seen held
        self._types: dict[HeldClaim, str] = {}
        self._lock = threading.Lock()

    def room_of(self, task_type: str) -> int:
        """Return how many more tasks of the type may be handed over."""
        with self._lock:
            return self.most - len(self._out.get(task_type, ()))

    def spend(self, claims: Iterable[Claim]) -> None:
        """Know that these are handed over."""
        self.count({HeldClaim(claim.task.id, claim.token): claim.task.task_type for claim in claims})

    def count(self, held: Mapping[HeldClaim, str]) -> None:
        """Know that these are handed over, of these types, by whomever."""
        now = self._clock()
        with self._lock:
            for one, task_type in held.items():
                self._out.setdefault(task_type, {})[one] = now
                self._types[one] = task_type

    def give_back(self, held: Iterable[HeldClaim]) -> bool:
        """Know that these are settled, or nobody's any more; return whether any of them was ours."""
        found = False
        with self._lock:
            for one in held:
                task_type = self._types.pop(one, None)
                if task_type is not None:
                    del self._out[task_type][one]
                    found = True
        return found

    def in_doubt(self, seconds: float) -> list[HeldClaim]:
        """Return what was not seen held for so long, of the types that have less than half of their credits left."""
        until = self._clock() - seconds
        with self._lock:
            short = [held for held in self._out.values() if 2 * len(held) > self.most]
            return [one for held in short for one, seen_at in held.items() if seen_at <= until]

    def seen(self, held: Collection[HeldClaim]) -> None:
        """Know that these are held at this moment."""
        now = self._clock()
        with self._lock:
            for one in held:
                if one in self._types:
                    self._out[self._types[one]][one] = now
