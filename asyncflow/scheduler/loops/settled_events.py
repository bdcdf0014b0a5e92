"""The telling of what was settled, for every loop that settles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from asyncflow.events import Hooks, SettleFenced, TaskFailed, TaskRetried, TasksSettled
from asyncflow.outbox.status import Status


class Ending(NamedTuple):
    """Name a task whose attempt failed, and counts; without a delay, the task is a dead letter now."""

    task_id: UUID
    task_type: str
    attempt: int
    error: str
    delay_seconds: float | None = None
    queue_seconds: float | None = None  # due until fetched; None if that is not known


def tell_of_each(hooks: Hooks, endings: Iterable[Ending]) -> None:
    """Tell of tasks that failed, or are tried again, one by one, after the COMMIT."""
    for task_id, task_type, attempt, error, delay, waited in endings:
        if delay is None:
            hooks.emit(TaskFailed(task_id, task_type, attempt, error, waited))
        else:
            hooks.emit(TaskRetried(task_id, task_type, attempt, delay, error, waited))


class SettledEvents:
    """Tell the hooks what was settled under one destination, after its COMMIT."""

    def __init__(self, hooks: Hooks, destination: str) -> None:
        self._hooks = hooks
        self._destination = destination

    def of_each(self, endings: Iterable[Ending]) -> None:
        """Tell of tasks that failed, or are tried again, one by one."""
        tell_of_each(self._hooks, endings)

    def of_all(
        self,
        counts: Mapping[Status, int],
        of_types: Mapping[str, int],
        seconds: float = 0.0,
        waits: Sequence[float] = (),
    ) -> None:
        """Tell how many tasks came to which status, how many of each type succeeded, and how long the write took.

        ``waits`` tell how long tasks had been due when they were fetched.
        """
        order = (Status.SUCCESS, Status.PENDING, Status.FAILED, Status.CANCELLED)
        succeeded, retried, failed, cancelled = (counts.get(one, 0) for one in order)
        types = tuple(of_types.items())
        told = (succeeded, retried, failed, seconds, cancelled, types, waits)
        self._hooks.emit(TasksSettled(self._destination, *told))

    def of_fenced(self, tasks: int) -> None:
        """Tell of settles that changed nothing, if there are any."""
        if tasks:
            self._hooks.emit(SettleFenced(self._destination, tasks))
