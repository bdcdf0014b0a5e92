"""What a handler may know of its task, and by which it tells how far it has come."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import orjson

from asyncflow.computed import computed_once
from asyncflow.errors import InvalidStageError, PayloadNotSerializableError
from asyncflow.outbox import payload as payloads
from asyncflow.outbox.declarations.periodic_task import DUE_TIME
from asyncflow.outbox.tables import RESULT_STAGE, STAGE_LENGTH
from asyncflow.text import require_text

Save = Callable[[str, "str | None"], None]


class AttemptFacts(Protocol):
    """Hold what there is to be known of one attempt; each is asked for once, when a handler wants to know it."""

    @property
    def id(self) -> UUID:
        """Return the task's id."""
        ...

    @property
    def task_type(self) -> str:
        """Return the name of the task's type."""
        ...

    @property
    def key(self) -> str | None:
        """Return the task's key."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers given at the enqueue."""
        ...

    @property
    def attempt(self) -> int:
        """Return the number of the attempt, 1 for the first."""
        ...

    @property
    def stage(self) -> str | None:
        """Return the stage of the last checkpoint before it."""
        ...

    @property
    def context(self) -> Any:
        """Return the context of the last checkpoint before it."""
        ...

    @property
    def deadline(self) -> datetime:
        """Return when it will be given up."""
        ...

    @property
    def save(self) -> Save:
        """Return what writes a checkpoint, with the context as JSON."""
        ...

    @property
    def max_context_bytes(self) -> int:
        """Return how large a context may be."""
        ...

    @property
    def database_name(self) -> str:
        """Return the name of the database."""
        ...


@dataclass(frozen=True, kw_only=True)
class GivenFacts:
    """Hold the facts of an attempt that are all known beforehand."""

    id: UUID
    task_type: str
    key: str | None
    headers: Mapping[str, str]
    attempt: int
    stage: str | None
    context: Any
    deadline: datetime
    save: Save
    max_context_bytes: int
    database_name: str = ""


class TaskContext:
    """Be the handler's parameter ``ctx``; lives for one attempt, and any thread of it may use it.

    What it tells is computed where somebody asks: most attempts have one for the sake of what stands around them.
    """

    def __init__(self, facts: AttemptFacts) -> None:
        self._facts = facts
        self._is_cancelled = False

    @computed_once
    def id(self) -> UUID:
        """Return the task's id."""
        return self._facts.id

    @property
    def task_type(self) -> str:
        """Return the name of the task's type."""
        return self._facts.task_type

    @property
    def key(self) -> str | None:
        """Return the task's key."""
        return self._facts.key

    @computed_once
    def headers(self) -> Mapping[str, str]:
        """Return the headers given at the enqueue."""
        return self._facts.headers

    @property
    def attempt(self) -> int:
        """Return the number of this attempt, 1 for the first."""
        return self._facts.attempt

    @computed_once
    def stage(self) -> str | None:
        """Return the stage of the last checkpoint, of this attempt or an earlier one; None if there was none."""
        return self._facts.stage

    @computed_once
    def context(self) -> Any:
        """Return the context of the last checkpoint, of this attempt or an earlier one; None if there was none."""
        return self._facts.context

    @computed_once
    def deadline(self) -> datetime:
        """Return when the attempt will be given up, by this machine's clock."""
        return self._facts.deadline

    @property
    def database_name(self) -> str:
        """Return the name of the database in which the task lies, "" where the scheduler has a single one."""
        return self._facts.database_name

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
        self._facts.save(stage, text)
        self.stage, self.context = stage, None if text is None else orjson.loads(text)

    def _text(self, context: Any) -> str:
        try:
            body, content_type = payloads.encode(context)
        except PayloadNotSerializableError as error:
            raise InvalidStageError(f"context: {error}") from error
        if content_type != payloads.JSON:
            raise InvalidStageError("context is bytes; give JSON-able values")
        most = self._facts.max_context_bytes
        if len(body) > most:
            raise InvalidStageError(
                f"context is {len(body)} bytes, the limit is {most}; store it elsewhere and keep a "
                f"reference, or raise Outbox(max_message_bytes=...)"
            )
        return body.decode()


def stage_of(stage: Any) -> str:
    """Return the name of a stage; raises InvalidStageError for one that no row may have."""
    name = require_text("stage", stage, STAGE_LENGTH, InvalidStageError)
    if name == RESULT_STAGE:
        raise InvalidStageError(f"stage {name!r} is asyncflow's own, of a task whose result is kept; choose another")
    return name
