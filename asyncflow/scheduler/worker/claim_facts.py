"""What a handler may know of the attempt at a claim."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple
from uuid import UUID

from asyncflow.errors import InvalidStageError
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.handler_call import Tools


class ClaimFacts(NamedTuple):
    """Hold what is known of an attempt at a claim, for who asks."""

    claim: Claim
    kind: HandlerType
    tools: Tools
    overdue_at: float  # on the monotonic clock
    context: Any = None  # of the last checkpoint, before this attempt

    @property
    def id(self) -> UUID:
        """Return the task's id."""
        return self.claim.task.id

    @property
    def task_type(self) -> str:
        """Return the name of the task's type."""
        return self.claim.task.task_type

    @property
    def key(self) -> str | None:
        """Return the task's key."""
        return self.claim.task.key

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers given at the enqueue."""
        return self.claim.task.headers

    @property
    def attempt(self) -> int:
        """Return the number of the attempt."""
        return self.claim.attempt

    @property
    def stage(self) -> str | None:
        """Return the stage of the last checkpoint, before this attempt."""
        return self.claim.stage

    @property
    def deadline(self) -> datetime:
        """Return when the attempt will be given up, by this machine's clock."""
        return datetime.now(timezone.utc) + timedelta(seconds=self.overdue_at - time.monotonic())

    def save(self, stage: str, context: str | None) -> None:
        """Commit how far the work has come; raises InvalidStageError where there is one commit at the end."""
        if self.kind.transactional:
            raise InvalidStageError(
                f"stage {stage!r}: a transactional handler has one commit and no stages; "
                f"leave transactional out, or enqueue a task for the next step in the session"
            )
        self.tools.source.checkpoint(self.claim, stage, context)

    @property
    def max_context_bytes(self) -> int:
        """Return how large a context may be."""
        return self.tools.max_context_bytes

    @property
    def database_name(self) -> str:
        """Return the name of the database in which the task lies."""
        return self.tools.database_name
