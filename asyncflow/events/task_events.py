"""Events of tasks: enqueued, attempted, settled, rescued, changed by a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from asyncflow.events.event import Event


@dataclass(frozen=True, slots=True)
class TaskEnqueued(Event):
    """A task row was added to the caller's transaction, which may still roll back."""

    task_id: UUID
    task_type: str
    key: str | None


@dataclass(frozen=True, slots=True)
class AttemptFailed(Event):
    """A handler raised or took too long; the next attempt is due in ``delay_seconds``, None if there is none.

    It was due for ``queue_seconds`` before it was claimed; None if that is not known.
    """

    task_id: UUID
    task_type: str
    key: str | None
    attempt: int
    attempts: int
    delay_seconds: float | None
    error: BaseException
    queue_seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class HandlerFailedLate(Event):
    """A transactional handler raised after the commit that settled its task: the task is done, the rest is not.

    Or a subscriber, after a commit of its own, with which its message is done.
    """

    task_id: UUID
    task_type: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class TaskRetried(Event):
    """A task goes back to PENDING and is due again in ``delay_seconds``; it was due for ``queue_seconds`` before."""

    task_id: UUID
    task_type: str
    retry_count: int
    delay_seconds: float
    error: str
    queue_seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TaskFailed(Event):
    """A task became a dead letter: it was rejected, or its retries are spent; ``retry_count`` attempts have failed."""

    task_id: UUID
    task_type: str
    retry_count: int
    error: str
    queue_seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TasksSettled(Event):
    """Outcomes were written and committed; ``of_types`` tells by task type how many have succeeded.

    ``waits`` are the seconds for which the tasks had been due when they were fetched, by the database's clock, of those
    for which they are known; they are computed where somebody asks.
    """

    destination: str
    succeeded: int
    retried: int
    failed: int
    seconds: float
    cancelled: int = 0
    of_types: tuple[tuple[str, int], ...] = ()
    waits: Sequence[float] = field(default=(), compare=False)

    @property
    def queue_seconds(self) -> float | None:
        """Return the longest of the waits; None if none is known."""
        return max(self.waits, default=None)


@dataclass(frozen=True, slots=True)
class SettleFenced(Event):
    """Settles changed nothing, for another instance owns the shards now or somebody settled the rows."""

    destination: str
    tasks: int


@dataclass(frozen=True, slots=True)
class RowsLocked(Event):
    """Somebody else holds locks on the rows of ``tasks``; these wait and are tried again, and nothing else waits."""

    destination: str
    tasks: int


@dataclass(frozen=True, slots=True)
class ClaimsRanOut(Event):
    """The monitor found tasks whose worker died or was cut off; all but those of AttemptsRefunded have spent one."""

    task_type: str
    given_back: int
    failed: int


@dataclass(frozen=True, slots=True)
class AttemptsRefunded(Event):
    """Of ``tasks`` that the monitor gave back nobody had heard that they had begun: their attempts are not spent."""

    task_type: str
    tasks: int


@dataclass(frozen=True, slots=True)
class TasksChanged(Event):
    """Somebody, ``actor``, changed tasks on purpose; the ``action`` is ``replay``, ``cancel`` or ``discard``."""

    action: str
    actor: str
    tasks: int
