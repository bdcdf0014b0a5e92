"""What the broker has confirmed of a batch, by delivery tags."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable
from itertools import takewhile

from asyncflow.scheduler.publishing.publisher import SENT, Outcome


class Confirms:
    """Know what became of the messages of one channel; changed by the thread of its publisher alone.

    Tags count from 1, in the order in which the messages were sent. An unroutable message is returned before it is
    confirmed, and the return names no tag: it is known by its ``mark``, which is its id, or all of it without one.
    """

    def __init__(self, nacked: Callable[[int], Outcome]) -> None:
        self.outcomes: dict[int, Outcome] = {}  # by the message's place in its batch
        self.pending: dict[int, int] = {}  # places by tags
        self._nacked = nacked
        self._last_tag = 0
        self._places: defaultdict[Hashable, deque[int]] = defaultdict(deque)
        self._returned: dict[int, Outcome] = {}

    def begin(self) -> None:
        """Forget the last batch: all of it is settled."""
        self.outcomes, self.pending, self._returned = {}, {}, {}
        self._places.clear()

    def expect(self, place: int, mark: Hashable) -> None:
        """Wait for the next tag, which is that of the message at this place."""
        self._last_tag += 1
        self.pending[self._last_tag] = place
        self._places[mark].append(place)

    def take_return(self, mark: Hashable, outcome: Outcome) -> None:
        """Know that a message came back; it is settled when its confirm comes."""
        if self._places[mark]:
            self._returned[self._places[mark].popleft()] = outcome

    def take_confirm(self, tag: int, *, multiple: bool, is_ack: bool) -> None:
        """Settle the message of a tag, and with ``multiple`` all before it."""
        for each in self._tags(tag, multiple):
            place = self.pending.pop(each, None)
            if place is not None:
                taken = self._returned.get(place, SENT)
                self.outcomes[place] = taken if is_ack else self._nacked(place)

    def _tags(self, tag: int, multiple: bool) -> Iterable[int]:
        if not multiple:
            return (tag,)
        last = tag or self._last_tag  # 0 is all of them
        return list(takewhile(lambda each: each <= last, self.pending))
