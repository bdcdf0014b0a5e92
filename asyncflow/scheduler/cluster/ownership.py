"""Which items of a job this instance may work on, and which of them are at work."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Collection, ItemsView, Iterator, Mapping
from types import TracebackType
from typing import Protocol

from asyncflow.outbox.tables import OWNER_LENGTH


def instance_name() -> str:
    """Return a name that no other instance has: host, process and some luck."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"[-OWNER_LENGTH:]


class Ownership(Protocol):
    """Tell the items of one job that this instance owns; any thread may ask."""

    owner: str
    job: str

    def acquire(self) -> None:
        """Take part: own what is free of the share that is due, and the rest as others hand it over.

        Raises ShardCountMismatchError.
        """
        ...

    def await_share(self) -> None:
        """Wait until the whole share is owned; no longer than the lease of a dead owner can last."""
        ...

    def with_leases(self, work: Callable[[], object]) -> None:
        """Do work; once more, when the share is owned again, if its leases ran out meanwhile: it found nothing then."""
        ...

    def epochs(self) -> Mapping[int, int]:
        """Return the items to work on with the epoch of each, as last known."""
        ...

    def in_use(self) -> Hold:
        """Return the items to work on, none of which is handed over before the hold is released."""
        ...

    def refresh(self) -> None:
        """Learn from the registry which items are still owned."""
        ...

    def release(self) -> None:
        """Give everything back and take part no more."""
        ...


class Hold(Mapping[int, int]):
    """Keep items from being handed over, from its making to its release; used by one thread.

    A mapping of the items to the epochs in which they are owned.
    """

    def __init__(
        self,
        epochs: Mapping[int, int],
        released: Callable[[Hold], None],
        lasts: Callable[[Hold], bool] = lambda _: True,
    ) -> None:
        self.epochs: Mapping[int, int] = dict(epochs)  # replaced as a whole, for others look on
        self._released = released
        self._lasts = lasts

    @property
    def lasts(self) -> bool:
        """Tell whether the items are still owned in their epochs: if not, others may work on them by now."""
        return self._lasts(self)

    def __getitem__(self, item: int) -> int:
        return self.epochs[item]

    def __iter__(self) -> Iterator[int]:
        return iter(self.epochs)

    def __len__(self) -> int:
        return len(self.epochs)

    def __contains__(self, item: object) -> bool:
        return item in self.epochs

    def items(self) -> ItemsView[int, int]:
        """Return the items with their epochs, as they are now."""
        return self.epochs.items()

    def keep_only(self, items: Collection[int]) -> None:
        """Let the others go: so a slow destination does not hold up the hand-over of shards it has no rows of."""
        self.epochs = {item: epoch for item, epoch in self.epochs.items() if item in items}

    def release(self) -> None:
        """Let all items go; may be called twice."""
        self.epochs = {}
        self._released(self)

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


OUTBOX_JOB = "outbox"  # the name under which the relays share the task table out
