"""What is sent at once, and what waits behind a message of its own key."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from asyncflow.integrations.rocketmq.messages import GroupedMessage


class Lanes:
    """Deal the messages of one batch out by their places: of each lane one at a time, in order.

    A proxy works on requests side by side, so two of a message group that are on their way at once may change places.
    """

    def __init__(self, messages: Mapping[int, GroupedMessage]) -> None:
        self._ready: deque[int] = deque()
        self._behind: dict[int, int] = {}
        last: dict[tuple[str, bytes], int] = {}
        for place, message in messages.items():
            if message.lane is None:
                self._ready.append(place)
                continue
            before = last.get(message.lane)
            last[message.lane] = place
            if before is None:
                self._ready.append(place)
            else:
                self._behind[before] = place

    def next(self) -> int | None:
        """Return the place of a message that may be sent, None if none may."""
        return self._ready.popleft() if self._ready else None

    def done(self, place: int) -> None:
        """Let the one behind it go."""
        following = self._behind.pop(place, None)
        if following is not None:
            self._ready.append(following)
