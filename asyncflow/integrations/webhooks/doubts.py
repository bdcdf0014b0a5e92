"""Messages to which a receiver said nothing: whether it is away, or cannot take just this one."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

from asyncflow.integrations.webhooks.outcomes import Doubtful
from asyncflow.scheduler.publishing.publisher import Retry, Unavailable

# So often in a row a message may meet silence at no cost. So an hour without a receiver costs few attempts; and a
# message that always breaks its receiver ends as a dead letter, and does not hold up its topic for ever.
FREE = 6
MOST_KEPT = 1000
_NEVER = float("-inf")


class Silence(NamedTuple):
    """Hold how often in a row a message met silence, and when last (monotonic seconds)."""

    times: int
    at: float


class Doubts:
    """Remember which messages met silence, and when which URL answered; lives as long as its session, on its loop.

    Another message that is answered while, or after, this one is not shows that the receiver is there.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._met: dict[str, Silence] = {}  # by id, those that met it last at the end
        self._answered: dict[str, float] = {}  # by URL

    def answered(self, message_id: str, url: str) -> None:
        """Know that the receiver itself answered a message."""
        self._met.pop(message_id, None)
        _keep(self._answered, url, self._clock())

    def resolve(self, message_id: str, url: str, doubtful: Doubtful, began: float) -> Retry | Unavailable:
        """Return what the silence to a request means that ``began`` at that moment (monotonic seconds)."""
        times, since = self._met.get(message_id, Silence(0, began))
        is_there = self._answered.get(url, _NEVER) > min(since, began)
        is_spent = is_there or times >= FREE
        _keep(self._met, message_id, Silence(0 if is_spent else times + 1, self._clock()))
        return Retry(doubtful.error) if is_spent else Unavailable(doubtful.error)


def _keep(memory: dict[str, Any], name: str, value: object) -> None:
    memory.pop(name, None)
    memory[name] = value
    if len(memory) > MOST_KEPT:
        del memory[next(iter(memory))]
