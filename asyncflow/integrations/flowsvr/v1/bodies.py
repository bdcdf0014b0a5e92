"""The bodies of requests by the original's names; fields of the original that are not here are ignored."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from asyncflow.integrations.flowsvr.door.bodies import PLAIN, TypeName, Whole
from asyncflow.outbox.declarations.task_type import MAX_RETRIES
from asyncflow.outbox.message import MAX_PRIORITY
from asyncflow.outbox.tables import KEY_LENGTH, STAGE_LENGTH

MOST = 2000  # the original's bound of a hold and of a list
_LATEST = 253_402_300_799  # seconds of 1970, at the end of the year 9999
_StageText = Annotated[str, Field(strict=True, max_length=STAGE_LENGTH)]
_UserId = Annotated[str, StringConstraints(strict=True, max_length=KEY_LENGTH, pattern=f"^({PLAIN[1:-1]})?$")]
_ContextText = Annotated[str, Field(strict=True)]


class RegisterTask(BaseModel):
    """Register a task type."""

    task_type: TypeName


class TaskData(BaseModel):
    """Describe a task to be created; fields of the original that are not here are ignored."""

    task_type: TypeName
    user_id: _UserId | None = None
    task_stage: _StageText | None = ""
    context: _ContextText | None = None
    task_context: _ContextText | None = Field(None, description="the same as context")
    priority: Annotated[Whole, Field(ge=0, le=MAX_PRIORITY)] | None = None
    max_retry_num: Annotated[Whole, Field(ge=0, le=MAX_RETRIES)] | None = Field(
        None, description="0 is as the task type has it: the original's clients send it where they mean nothing"
    )


class CreateOriginalTask(BaseModel):
    """Create one task."""

    task_data: TaskData


class HoldOriginalTasks(BaseModel):
    """Ask for due tasks of one type; 0 stands for the most."""

    task_type: TypeName
    limit: Annotated[Whole, Field(ge=0, le=MOST)] = 0


class SettledData(BaseModel):
    """Tell what became of a held task; ``crt_retry_num`` above that of the hold says that an attempt failed."""

    def work(self, shown: str) -> str | None:
        """Return the context, by whichever name it came; of both the one that is not as it was ``shown``."""
        given = [one for one in (self.context, self.task_context) if one is not None]
        return next((one for one in given if one != shown), given[0] if given else None)

    task_id: str
    status: Annotated[Whole, Field(ge=1, le=5)]
    task_stage: _StageText | None = ""
    context: _ContextText | None = None
    task_context: _ContextText | None = Field(None, description="the same as context")
    crt_retry_num: Whole | None = None
    order_time: Annotated[Whole, Field(ge=0, le=_LATEST)] | None = Field(
        None, description="when it is due again, in seconds of 1970; 0 leaves it to us"
    )
    schedule_log: Annotated[str, Field(strict=True, max_length=10_000)] | None = ""


class SetTask(BaseModel):
    """Set one task."""

    task_data: SettledData
