"""The seam between the run side and the broker of a queue: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

MOST_CREDITS = 100_000


class QueueNames(NamedTuple):
    """Name what a broker has for a queue: one place for each task type, and one for what workers tell."""

    namespace: str
    queue: str

    @property
    def notes(self) -> str:
        """Return the name of what workers tell."""
        return f"{self.namespace}.{self.queue}.notes"

    def letters(self, task_type: str) -> str:
        """Return the name of a type's tasks."""
        return f"{self.namespace}.{self.queue}.tasks.{task_type}"


class Parcel(NamedTuple):
    """Hold a letter on its way to the broker: of which task type, and after how many seconds it is of no use."""

    task_type: str
    body: bytes
    seconds: float


class Arrival(NamedTuple):
    """Hold a letter that has come; ``seconds_on_way`` is how long the broker had it, by the broker's own clock."""

    body: bytes
    seconds_on_way: float


class Handed(NamedTuple):
    """Hold a note that has come back, and by what its queue acknowledges it."""

    handle: Hashable
    body: bytes


class Sending(Protocol):
    """Be the dispatcher's line to the broker; one thread uses it. What cannot be reached raises UnreachableError."""

    def require_living(self) -> None:
        """Ask the broker for anything, so that nothing is claimed for one that is away."""
        ...

    def send(self, parcels: Sequence[Parcel]) -> Sequence[str | None]:
        """Send them; return for each None, or why the broker will never take it. May be called again with the same."""
        ...

    def close(self) -> None:
        """End the line; may be called twice."""
        ...


class Collecting(Protocol):
    """Be the collector's line to the broker; one thread uses it. What cannot be reached raises UnreachableError."""

    def collect(self, most: int, seconds: float) -> Sequence[Handed]:
        """Return notes, about ``most``; none if none come in time. What is not acknowledged comes to somebody again."""
        ...

    def acknowledge(self, handles: Collection[Hashable]) -> None:
        """Let the broker forget these."""
        ...

    def close(self) -> None:
        """End the line; may be called twice."""
        ...


class Taking(Protocol):
    """Be a worker's line by which letters come; one thread uses it. Raises UnreachableError."""

    def take(self, rooms: Mapping[str, int], seconds: float) -> Sequence[Arrival]:
        """Return letters of each task type up to its number; none if none come in time.

        The broker forgets them: one that is lost from here on comes again as its claim has run out.
        """
        ...

    def close(self) -> None:
        """End the line; may be called twice."""
        ...


class TellingBack(Protocol):
    """Be a worker's line by which notes go back; one thread at a time uses it. Raises UnreachableError."""

    def tell(self, notes: Sequence[bytes]) -> None:
        """Have the broker keep the notes, in order; after an error some may be there, and all are told again."""
        ...

    def close(self) -> None:
        """End the line; may be called twice."""
        ...


@runtime_checkable
class TaskQueue(Protocol):
    """Lead to the broker of a queue; holds nothing of a process, so it may be made before a fork.

    ``credits`` is how many tasks of a type a scheduler has in the queue and at work at the most.
    """

    credits: int

    def sending(self, name: str) -> Sending:
        """Return a line of the queue ``name``, which connects when it is first used; so do the others."""
        ...

    def collecting(self, name: str, member: str) -> Collecting:
        """Return a line by which notes come; no two schedulers are the same ``member``."""
        ...

    def taking(self, name: str) -> Taking:
        """Return a line by which letters come."""
        ...

    def telling(self, name: str) -> TellingBack:
        """Return a line by which notes go back."""
        ...
