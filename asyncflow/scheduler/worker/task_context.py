"""What a handler may know of its task, and by which it tells how far it has come."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from asyncflow.errors import InvalidStageError, PayloadNotSerializableError
from asyncflow.outbox import payload as payloads
from asyncflow.outbox.declarations.periodic_task import DUE_TIME
from asyncflow.outbox.tables import RESULT_STAGE, STAGE_LENGTH
from asyncflow.text import require_text

Save = Callable[[str, "str | None"], None]


class TaskContext:
    """Be the handler's parameter ``ctx``; lives for one attempt, and any thread of it may use it.

    ``attempt`` counts from 1. ``stage`` and ``context`` are those of the last checkpoint, of this attempt or an
    earlier one; None if there was none. ``deadline`` is when the attempt will be given up, by this machine's clock.
    ``database_name`` is that of the database in which the task lies, "" where the scheduler has a single one.
    """

    def __init__(
        self,
        *,
        id: UUID,  # noqa: A002 - the handler reads ctx.id
        task_type: str,
        key: str | None,
        headers: Mapping[str, str],
        attempt: int,
        stage: str | None,
        context: Any,
        deadline: datetime,
        save: Save,
        max_context_bytes: int,
        database_name: str = "",
    ) -> None:
        self.id = id
        self.task_type = task_type
        self.key = key
        self.headers = headers
        self.attempt = attempt
        self.stage = stage
        self.context = context
        self.deadline = deadline
        self.database_name = database_name
        self._save = save
        self._max_context_bytes = max_context_bytes
        self._is_cancelled = False

    @property
    def due_time(self) -> datetime | None:
        """Return the time for which a periodic task was enqueued, in UTC; None for another task."""
        text = self.headers.get(DUE_TIME)
        return None if text is None else datetime.fromisoformat(text)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """Return the logger ``asyncflow.tasks.TYPE``, whose lines carry ``task_id`` and ``attempt``."""
        logger = logging.getLogger(f"asyncflow.tasks.{self.task_type}")
        return logging.LoggerAdapter(logger, {"task_id": str(self.id), "attempt": self.attempt})

    @property
    def cancelled(self) -> bool:
        """Tell whether to end soon: the deadline has passed, the claim is lost, or the worker stops."""
        return self._is_cancelled

    def cancel(self) -> None:
        """Ask the handler to end; the worker calls it."""
        self._is_cancelled = True

    def checkpoint(self, *, stage: str, context: Any = None) -> None:
        """Commit how far the work has come; a later attempt begins with this stage and context.

        It writes to the database at once; in a coroutine: ``await asyncio.to_thread(ctx.checkpoint, stage=...)``.

        Raises InvalidStageError, or ClaimLostError: then the work is somebody else's by now, and the handler should
        end.
        """
        stage = stage_of(stage)
        text = None if context is None else self._text(context)
        self._save(stage, text)
        self.stage, self.context = stage, None if text is None else orjson.loads(text)

    def _text(self, context: Any) -> str:
        try:
            body, content_type = payloads.encode(context)
        except PayloadNotSerializableError as error:
            raise InvalidStageError(f"context: {error}") from error
        if content_type != payloads.JSON:
            raise InvalidStageError("context is bytes; give JSON-able values")
        if len(body) > self._max_context_bytes:
            raise InvalidStageError(
                f"context is {len(body)} bytes, the limit is {self._max_context_bytes}; store it elsewhere and keep a "
                f"reference, or raise Outbox(max_message_bytes=...)"
            )
        return body.decode()


def stage_of(stage: Any) -> str:
    """Return the name of a stage; raises InvalidStageError for one that no row may have."""
    name = require_text("stage", stage, STAGE_LENGTH, InvalidStageError)
    if name == RESULT_STAGE:
        raise InvalidStageError(f"stage {name!r} is asyncflow's own, of a task whose result is kept; choose another")
    return name
