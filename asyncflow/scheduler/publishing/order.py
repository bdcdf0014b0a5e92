"""The order within a key: which outcome lets the next task of the key follow."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from asyncflow.outbox import MessageType, Task
from asyncflow.outbox.declarations.retry import is_spent
from asyncflow.scheduler.publishing.publisher import Outcome, Rejected, Retry, Sent

MOST_ASKED_SECONDS = 86400.0  # that a destination can put a task off


class Key(NamedTuple):
    """Name a key within its task type: order is kept in there, and nowhere else."""

    task_type: str
    key: str


def is_in_order(task: Task, ordered: Container[str]) -> bool:
    """Tell whether order is kept for the task: what was written before its type had an order may have no key."""
    return task.task_type in ordered and task.key is not None


def key_of(task: Task) -> Key:
    """Return the key of a task of an ordered type."""
    return Key(task.task_type, task.key or "")


def is_final(task: Task, outcome: Outcome) -> bool:
    """Tell whether the outcome makes the task a dead letter."""
    return isinstance(outcome, Rejected) or (
        isinstance(outcome, Retry) and is_spent(task.retry_count + 1, task.max_retries)
    )


def retry_wait(task_type: MessageType, failures: int, outcome: Outcome) -> float:
    """Return the seconds until the next attempt: what the type's policy says, or what the destination asks for."""
    wait = task_type.retry_delay(failures)
    return max(wait, min(outcome.after_seconds, MOST_ASKED_SECONDS)) if isinstance(outcome, Retry) else wait


def is_written(outcome: Outcome | None) -> bool:
    """Tell whether the outcome changes the task's row: what waits, or meets nobody, stays as it is."""
    return isinstance(outcome, (Sent, Retry, Rejected))


def goes_on(task: Task, outcome: Outcome, when_exhausted: str) -> bool:
    """Tell whether the next task of the key may follow."""
    return isinstance(outcome, Sent) or (when_exhausted == "skip" and is_final(task, outcome))
