"""A queue of tasks within one process, which can be away, lose what it has, and give it twice."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Collection, Hashable, Mapping, Sequence

from asyncflow.errors import UnreachableError
from asyncflow.scheduler.task_queue import Arrival, Handed, Parcel


class MemoryQueue:
    """Be the queue and its broker: all of its lines are itself, whatever their name."""

    def __init__(self, credits: int = 100) -> None:  # noqa: A002
        self.credits = credits
        self.is_away = False
        self.refuses: str | None = None  # why it takes no letter
        self.letters: defaultdict[str, deque[tuple[float, bytes]]] = defaultdict(deque)
        self.notes: dict[int, bytes] = {}  # that are not acknowledged
        self.sent: list[Parcel] = []
        self.told: list[bytes] = []
        self._given: set[int] = set()
        self._changed = threading.Condition()

    def sending(self, name: str) -> MemoryQueue:
        return self

    def collecting(self, name: str, member: str) -> MemoryQueue:
        return self

    def taking(self, name: str) -> MemoryQueue:
        return self

    def telling(self, name: str) -> MemoryQueue:
        return self

    def close(self) -> None:
        """Stay as it is."""

    def require_living(self) -> None:
        if self.is_away:
            raise UnreachableError("the broker is away")

    def send(self, parcels: Sequence[Parcel]) -> Sequence[str | None]:
        self.require_living()
        with self._changed:
            self.sent += parcels
            for parcel in parcels if self.refuses is None else ():
                self.letters[parcel.task_type].append((time.monotonic(), parcel.body))
            self._changed.notify_all()
        return [self.refuses] * len(parcels)

    def take(self, rooms: Mapping[str, int], seconds: float) -> Sequence[Arrival]:
        self.require_living()
        with self._changed:
            self._changed.wait_for(lambda: any(self.letters[name] for name in rooms), seconds)
            now = time.monotonic()
            return [
                Arrival(body, now - since)
                for name, room in rooms.items()
                for since, body in [self.letters[name].popleft() for _ in range(min(room, len(self.letters[name])))]
            ]

    def tell(self, notes: Sequence[bytes]) -> None:
        self.require_living()
        with self._changed:
            for note in notes:
                self.notes[len(self.told)] = note
                self.told.append(note)
            self._changed.notify_all()

    def collect(self, most: int, seconds: float) -> Sequence[Handed]:
        self.require_living()
        with self._changed:
            self._changed.wait_for(lambda: self.notes.keys() - self._given, seconds)
            found = sorted(self.notes.keys() - self._given)[:most]
            self._given.update(found)
            return [Handed(number, self.notes[number]) for number in found]

    def acknowledge(self, handles: Collection[Hashable]) -> None:
        self.require_living()
        with self._changed:
            for handle in handles:
                self.notes.pop(handle, None)  # type: ignore[call-overload]

    def give_notes_again(self) -> None:
        """Let what is not acknowledged come again, as after a collector's death."""
        with self._changed:
            self._given.clear()
            self._changed.notify_all()
