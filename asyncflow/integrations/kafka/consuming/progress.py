"""How far a consumer has come: what may be committed, what waits for another attempt."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress

from asyncflow.integrations.kafka.consuming.received import BrokerClient, Partition, PartitionsLostError, Received


class Progress:
    """Remember, of the partitions that are this consumer's now; lives as long as one client, on its thread.

    An offset is committed only of a partition that is still assigned: the broker would take it of any.
    """

    def __init__(self) -> None:
        self._assigned: set[Partition] = set()
        self._next: dict[Partition, int] = {}
        self._due: dict[Partition, float] = {}  # on the monotonic clock: when a partition that waits is resumed
        self._attempts: Counter[tuple[Partition, int, str]] = Counter()

    def assigned(self, partitions: Collection[Partition]) -> None:
        """Take in partitions that have come."""
        self._assigned.update(partitions)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Know nothing more of partitions that are gone."""
        gone = set(partitions)
        self._assigned -= gone
        for partition in gone:
            self._next.pop(partition, None)
            self._due.pop(partition, None)
        self._attempts = Counter({which: n for which, n in self._attempts.items() if which[0] not in gone})

    def let_go(self, client: BrokerClient, partitions: Collection[Partition]) -> None:
        """Know nothing more of partitions, and let none of them wait: given to us again, it would wait for ever."""
        for partition in self._due.keys() & set(partitions):
            with suppress(Exception):  # of one that the client holds no more
                client.resume(partition)
        self.forget(partitions)

    def takes(self, message: Received) -> bool:
        """Tell whether a message is to be delivered: its partition is ours, and waits for none before it."""
        return message.partition in self._assigned and message.partition not in self._due

    def begin(self, message: Received, name: str) -> int:
        """Count an attempt of a subscriber; return its number, 1 for the first."""
        which = (message.partition, message.offset, name)
        self._attempts[which] += 1
        return self._attempts[which]

    def refund(self, message: Received, name: str) -> None:
        """Let an attempt not count."""
        self._attempts[message.partition, message.offset, name] -= 1

    def done(self, message: Received) -> None:
        """Know that a message has had all its effects."""
        self._next[message.partition] = message.offset + 1
        gone = [which for which in self._attempts if which[:2] == (message.partition, message.offset)]
        for which in gone:
            del self._attempts[which]

    def wait(self, client: BrokerClient, message: Received, seconds: float) -> None:
        """Let a message's partition wait, and begin with it again."""
        client.hold(message.partition, message.offset)
        self._due[message.partition] = time.monotonic() + seconds

    def resume_due(self, client: BrokerClient) -> None:
        """Let those partitions go on that have waited long enough."""
        now = time.monotonic()
        for partition in [one for one, due in self._due.items() if due <= now]:
            client.resume(partition)
            del self._due[partition]

    def seconds_until_due(self, most: float) -> float:
        """Return how long to wait for messages."""
        return max(0.0, min([most, *(due - time.monotonic() for due in self._due.values())]))

    def commit(self, client: BrokerClient, partitions: Collection[Partition] | None = None) -> None:
        """Commit what is done, of all partitions or of some; what is another's by now it takes again."""
        chosen = {one: offset for one, offset in self._next.items() if partitions is None or one in partitions}
        if not chosen:
            return
        with suppress(PartitionsLostError):  # the next owner finds in the inbox what is done
            client.commit(chosen)
        for one, offset in chosen.items():
            if self._next.get(one) == offset:
                del self._next[one]
