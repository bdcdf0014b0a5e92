"""How often messages were tried."""

from __future__ import annotations

from typing import Protocol, TypeVar

from asyncflow.consuming.received import AnyReceived

MessageT = TypeVar("MessageT", bound=AnyReceived)
_ReceivedT = TypeVar("_ReceivedT", bound=AnyReceived, contravariant=True)


class AttemptCounts(Protocol[_ReceivedT]):
    """Count the attempts of each subscriber at each message of one broker; used by one thread."""

    def begin(self, message: _ReceivedT, name: str) -> int:
        """Count an attempt of a subscriber; return its number, 1 for the first."""
        ...

    def refund(self, message: _ReceivedT, name: str) -> None:
        """Let an attempt not count."""
        ...
