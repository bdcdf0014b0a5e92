"""What the routes answer, for the document: clients are made from it, and nothing is checked against it at work."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

StatusName = Literal["PENDING", "PROCESSING", "SUCCESS", "FAILED", "CANCELLED"]


class TaskCreated(BaseModel):
    """Tell the id of a task, and whether it is new."""

    id: UUID
    created: bool
    database: str | None = Field(None, description="where it lies; told by a service of several databases")


class TasksCreated(BaseModel):
    """Tell the ids of several tasks, in order."""

    ids: list[UUID]
    database: str | None = Field(None, description="where they lie; told by a service of several databases")


class FollowingTask(BaseModel):
    """Name the task that follows another one."""

    id: UUID
    task_type: str


class ShownTask(BaseModel):
    """Tell the state of a task, without what may be large."""

    id: UUID
    task_type: str
    key: str | None
    status: StatusName
    stage: str | None
    priority: int
    attempt: int = Field(description="how many have begun; the same as retry_count")
    retry_count: int
    max_retries: int
    owner: str | None = Field(description="the instance or the worker that has it")
    order_time: datetime = Field(description="what pages are sorted by")
    next_select_time: datetime = Field(description="not started before that")
    created_at: datetime
    modified_at: datetime
    log: list[str] = Field(description="the last errors")
    headers: dict[str, str]
    follow_up: FollowingTask | None
    database: str | None = Field(None, description="where it lies; told by a service of several databases")


class WholeTask(ShownTask):
    """Tell all of a task."""

    arguments: dict[str, Any] | None = Field(description="null for what was published as bytes, or is encrypted")
    encrypted: bool = Field(False, description="whether the arguments are encrypted; a hold gives them in the clear")
    context: Any = Field(description="of the last checkpoint")
    result: Any = Field(None, description="what its handler returned, where that is kept")


class TaskList(BaseModel):
    """Hold a page of tasks, and the cursor of the next one; null at the end."""

    tasks: list[ShownTask]
    next: str | None
    away: list[str] = Field(default_factory=list, description="databases that did not answer, and are left out")


class StatusCounts(BaseModel):
    """Tell how many tasks are in each status."""

    PENDING: int
    PROCESSING: int
    SUCCESS: int
    FAILED: int
    CANCELLED: int


class TaskCounts(BaseModel):
    """Tell how many tasks of each type there are, none counted beyond a limit."""

    counts: dict[str, StatusCounts]
    counted_up_to: int
    databases: dict[str, dict[str, StatusCounts]] = Field(
        default_factory=dict, description="the counts of each; told by a service of several databases"
    )
    away: list[str] = Field(default_factory=list, description="databases that did not answer, and are left out")


class GivenTask(BaseModel):
    """Hold a task that a worker was given, and the token of its claim."""

    id: UUID
    task_type: str
    key: str | None
    arguments: dict[str, Any]
    headers: dict[str, str]
    attempt: int = Field(description="1 for the first")
    max_retries: int
    stage: str | None
    context: Any = Field(description="of the last checkpoint")
    token: UUID
    is_followed: bool = Field(False, description="by a task that is enqueued when this one is done")
    wants_result: bool = Field(False, description="for the task that follows")
    database: str | None = Field(None, description="where it lies; told by a service of several databases")


class GivenTasks(BaseModel):
    """Hold the tasks that a worker was given, for how long, and the task types that are not known."""

    tasks: list[GivenTask]
    lease_seconds: float
    unknown: list[str]


class ClaimsRenewed(BaseModel):
    """Name the claims that do not last longer: those that are lost, and those whose rows somebody else has locked."""

    lost: list[UUID]
    locked: list[UUID] = Field(default_factory=list, description="to be renewed again")


class OutcomeWritten(BaseModel):
    """Tell whether an outcome was written; if not, more of the state of the task as it is now may follow."""

    id: UUID
    settled: bool
    status: StatusName | None = Field(description="null for a task that is gone")
    locked: bool = Field(False, description="by somebody else: it is to be told again")


class OutcomesWritten(BaseModel):
    """Tell of several outcomes, in order, whether each was written."""

    results: list[OutcomeWritten]


class CheckpointWritten(BaseModel):
    """Tell how far a task has come."""

    id: UUID
    stage: str


class TypeSettings(BaseModel):
    """Tell what is set for a task type; null is as declared."""

    task_type: str
    limit: int | None
    interval_seconds: float | None
    max_processing_time_seconds: float | None
    max_retries: int | None
    retry_interval_seconds: float | None
    max_retry_interval_seconds: float | None
    enabled: bool | None
    concurrency: int | None
    databases: list[str] = Field(
        default_factory=list, description="that know the type; told by a service of several databases"
    )
    differing: dict[str, dict[str, float | bool | None]] = Field(
        default_factory=dict, description="options that are null here as databases differ in them, and what each has"
    )


class SettingsOfType(TypeSettings):
    """Tell what is set for one task type, and who was not asked."""

    away: list[str] = Field(default_factory=list, description="databases that did not answer, and are left out")


class TypeInForce(TypeSettings):
    """Tell the options of a task type that are in force."""

    is_declared: bool = Field(description="in the application's code")


class TypeList(BaseModel):
    """Hold task types."""

    task_types: list[TypeInForce]
    away: list[str] = Field(default_factory=list, description="databases that did not answer, and are left out")


class TypeRegistered(BaseModel):
    """Tell whether a task type is new, and what is set for it."""

    task_type: str
    created: bool
    configuration: TypeSettings


class SettingsList(BaseModel):
    """Hold what is set for each task type."""

    configuration: list[TypeSettings]
    away: list[str] = Field(default_factory=list, description="databases that did not answer, and are left out")


class SettingsRemoved(BaseModel):
    """Tell whether anything had been set."""

    task_type: str
    removed: bool


class ShownLetter(BaseModel):
    """Tell of a dead letter."""

    id: UUID
    task_type: str
    key: str | None
    retry_count: int
    failed_at: datetime
    log: list[str] = Field(description="the last errors")
    database: str | None = Field(None, description="where it lies; told by a service of several databases")


class LetterList(BaseModel):
    """Hold a page of dead letters, and the cursor of the next one; null at the end."""

    dead_letters: list[ShownLetter]
    next: str | None
    away: list[str] = Field(default_factory=list, description="databases that did not answer, and are left out")


class LettersChanged(BaseModel):
    """Tell how many dead letters were changed, and of each that was left why."""

    count: int
    left: dict[str, str]


class ProcessUp(BaseModel):
    """Tell that the process is up."""

    status: Literal["up"]


class ServiceReady(BaseModel):
    """Tell that the service can serve."""

    status: Literal["ready"]
