"""A context as a handler gets one, made by a test."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from asyncflow.outbox.ids import new_id
from asyncflow.outbox.message import MAX_MESSAGE_BYTES
from asyncflow.scheduler.worker.task_context import GivenFacts, TaskContext


def task_context(
    task_type: str = "test",
    *,
    id: UUID | None = None,  # noqa: A002 - the handler reads ctx.id
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    attempt: int = 1,
    stage: str | None = None,
    context: Any = None,
    seconds_left: float = 300.0,
    database_name: str = "",
) -> TaskContext:
    """Return what a handler gets as ``ctx``; its checkpoints are kept in it alone, as ``stage`` and ``context``."""
    facts = GivenFacts(
        id=new_id() if id is None else id,
        task_type=task_type,
        key=key,
        headers=dict(headers or {}),
        attempt=attempt,
        stage=stage,
        context=context,
        deadline=datetime.now(timezone.utc) + timedelta(seconds=seconds_left),
        save=lambda *_: None,
        max_context_bytes=MAX_MESSAGE_BYTES,
        database_name=database_name,
    )
    return TaskContext(facts)
