"""A task as the application finds it, and a page of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, overload
from uuid import UUID

from sqlalchemy import Row

from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import RESULT_STAGE
from asyncflow.outbox.task import headers_of


class KeptResult(NamedTuple):
    """Hold what a handler returned, or why it cannot be made of what is kept any more."""

    value: Any = None
    fault: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTask:
    """Tell of one task as it stood when it was read; times are UTC, by the database's clock.

    ``attempts``: of a handler's task those that began, of a message those that failed. ``due_at`` is the earliest
    moment of its next attempt, or was that of its last. ``error`` is the newest line of its log: why its last attempt
    failed, or that it was cancelled or replayed; None if it has no line.
    """

    id: UUID
    task_type: str
    key: str | None
    status: Status
    attempts: int
    max_retries: int
    priority: int
    stage: str | None
    headers: Mapping[str, str]
    created_at: datetime
    modified_at: datetime
    due_at: datetime
    error: str | None
    kept: KeptResult = field(default=KeptResult(), repr=False)

    @property
    def result(self) -> Any:
        """Return what its handler returned, where the type keeps that and the task is done; else None.

        Raises ValueError or TypeError if the handler's annotation has changed, and fits what is kept no more.
        """
        if self.kept.fault is not None:
            raise self.kept.fault
        return self.kept.value


@dataclass(frozen=True, slots=True)
class FoundTasks(Sequence[FoundTask]):
    """Hold a page of tasks, as a sequence; ``next`` is what the following page is asked for with, None at the end."""

    tasks: tuple[FoundTask, ...]
    next: str | None = None

    def __len__(self) -> int:
        return len(self.tasks)

    @overload
    def __getitem__(self, index: int) -> FoundTask: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FoundTask]: ...

    def __getitem__(self, index: int | slice) -> FoundTask | Sequence[FoundTask]:
        return self.tasks[index]


def found_task(row: Row[Any], kept: KeptResult) -> FoundTask:
    """Return what is told of a task's row."""
    return FoundTask(
        id=row.id,
        task_type=row.task_type,
        key=row.task_key,
        status=Status(row.status),
        attempts=row.retry_count,
        max_retries=row.max_retries,
        priority=row.priority,
        stage=None if is_result(row) else row.stage,
        headers=headers_of(row.headers),
        created_at=row.created_at,
        modified_at=row.modified_at,
        due_at=row.next_select_time,
        error=(row.schedule_log or "").partition("\n")[0] or None,
        kept=kept,
    )


def is_result(row: Row[Any]) -> bool:
    """Tell whether a task is done and has left what its handler returned."""
    return bool(row.status == Status.SUCCESS and row.stage == RESULT_STAGE)
