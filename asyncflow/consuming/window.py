"""The messages that a consumer holds: what is ready, what waits for another attempt, and who waits behind it."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from asyncflow.consuming.delivered import Delivered

_TopicAndKey = tuple[str, bytes]  # topic and key
_CountsByMessage = OrderedDict[tuple[str, str], Counter[str]]  # by topic and id: the place may be of one delivery
MOST_COUNTED = 20_000  # messages: twice of what one client may hold


class Window:
    """Hold what was taken and is not acknowledged; lives as long as one client, on its thread, and its counts longer.

    A message that waits for another attempt lets those of its topic and key wait behind it, and all others go on.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, attempts: _CountsByMessage | None = None) -> None:
        self._clock = clock
        self._held: dict[str, Delivered] = {}  # by place
        self._ready: deque[Delivered] = deque()
        self._waiting: list[tuple[float, int, Delivered]] = []  # a heap, by when they are due
        self._waits = 0
        self._lines: dict[_TopicAndKey, deque[Delivered]] = {}  # who waits behind one that waits
        self._attempts: _CountsByMessage = OrderedDict() if attempts is None else attempts

    def __len__(self) -> int:
        return len(self._held)

    def anew(self) -> Window:
        """Return an empty one for another client, to which what was held may come again: attempts count on."""
        return Window(self._clock, self._attempts)

    def add(self, deliveries: Iterable[Delivered]) -> None:
        """Take in what has come; what is here already has come twice."""
        for delivery in deliveries:
            if delivery.place not in self._held:
                self._held[delivery.place] = delivery
                self._ready.append(delivery)

    def next_due(self) -> Delivered | None:
        """Return the next message that may be delivered now, None if none may; what is new comes first."""
        while self._ready:
            delivery = self._ready.popleft()
            line = _line_of(delivery)
            if line is None or line not in self._lines:
                return delivery
            self._lines[line].append(delivery)
        if self._waiting and self._waiting[0][0] <= self._clock():
            return heappop(self._waiting)[2]
        return None

    def done(self, delivery: Delivered) -> None:
        """Know that a message has had all its effects, so that those behind it may go on."""
        self._held.pop(delivery.place, None)
        self._attempts.pop(_counted(delivery), None)
        line = _line_of(delivery)
        if line is not None:
            self._ready.extendleft(reversed(self._lines.pop(line, ())))

    def wait(self, delivery: Delivered, seconds: float) -> None:
        """Let a message wait for so long."""
        self._waits += 1
        heappush(self._waiting, (self._clock() + seconds, self._waits, delivery))
        line = _line_of(delivery)
        if line is not None:
            self._lines.setdefault(line, deque())

    def seconds_until_due(self, most: float) -> float:
        """Return how long to wait for messages."""
        return max(0.0, min(most, self._waiting[0][0] - self._clock())) if self._waiting else most

    def left(self) -> list[Delivered]:
        """Return what was not done."""
        return list(self._held.values())

    def begin(self, message: Delivered, name: str) -> int:
        """Count an attempt of a subscriber; return its number, 1 for the first."""
        attempts = self._attempts.setdefault(_counted(message), Counter())
        self._attempts.move_to_end(_counted(message))
        if len(self._attempts) > MOST_COUNTED:
            self._attempts.popitem(last=False)
        attempts[name] += 1
        return attempts[name]

    def refund(self, message: Delivered, name: str) -> None:
        """Let an attempt not count."""
        self._attempts[_counted(message)][name] -= 1


def _counted(delivery: Delivered) -> tuple[str, str]:
    return delivery.topic, delivery.id


def _line_of(delivery: Delivered) -> _TopicAndKey | None:
    return None if delivery.key is None else (delivery.topic, delivery.key)
