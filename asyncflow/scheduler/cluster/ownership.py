"""What is asked of whoever owns items of a job: which of them this instance may work on."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from typing import Protocol

from asyncflow.outbox.tables import OWNER_LENGTH
from asyncflow.scheduler.cluster.share import Hold


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


OUTBOX_JOB = "outbox"  # the name under which the relays share the task table out
