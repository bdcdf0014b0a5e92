"""The bodies of requests, checked field by field before anything is written."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from asyncflow.errors import nearest
from asyncflow.outbox import Call
from asyncflow.outbox import payload as payloads
from asyncflow.outbox.clock import MAX_DELAY_SECONDS
from asyncflow.outbox.declarations.task_type import MAX_RETRIES
from asyncflow.outbox.message import MAX_PRIORITY
from asyncflow.outbox.tables import KEY_LENGTH, OWNER_LENGTH, STAGE_LENGTH, TASK_TYPE_LENGTH
from asyncflow.scheduler.table.claim_owner import HEARD
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.leaving.results import Result
from asyncflow.scheduler.worker.verdict import OutcomeName

# What every database keeps exactly, as ``asyncflow.text`` has it: no control characters, no spaces around.
PLAIN = r"^[^\s\x00-\x1f]([^\x00-\x1f]*[^\s\x00-\x1f])?$"


def _plain(longest: int) -> Any:
    return Annotated[str, StringConstraints(strict=True, min_length=1, max_length=longest, pattern=PLAIN)]


if TYPE_CHECKING:
    TypeName: TypeAlias = str
    Key: TypeAlias = str
    WorkerName: TypeAlias = str
    Stage: TypeAlias = str
else:
    TypeName, Key, Stage = _plain(TASK_TYPE_LENGTH), _plain(KEY_LENGTH), _plain(STAGE_LENGTH)
    WorkerName = _plain(OWNER_LENGTH - len(HEARD))
ErrorText = Annotated[str, StringConstraints(strict=True, max_length=10_000)]


def _whole(given: Any) -> Any:
    """Take 3.0 for 3: JSON knows one kind of numbers, and some programs write them all so."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


Whole = Annotated[int, Field(strict=True), BeforeValidator(_whole)]


def _written_moment(given: Any) -> Any:
    """Take text with a date alone: a number would be seconds or milliseconds, as large as it happens to be."""
    if given is None or (isinstance(given, str) and "-" in given[1:]):
        return given
    raise ValueError("give a moment such as 2030-01-31T12:00:00Z")


WrittenMoment = Annotated[datetime, BeforeValidator(_written_moment)]
Delay = Annotated[float, Field(strict=True, ge=0, le=MAX_DELAY_SECONDS, allow_inf_nan=False)]
LeaseSeconds = Annotated[float, Field(strict=True, ge=0.1, allow_inf_nan=False)]


_MOST_ITEMS = 10_000  # of a list or a table, counted before any of them is looked at
_MOST_TYPES = 1000  # of a hold
_FREE = ("arguments", "context", "result")  # whose items nobody looks at


def _first_fault(given: Any) -> Any:
    """Refuse headers at the first that is no text, not with a fault for each."""
    if isinstance(given, dict) and not all(isinstance(value, str) for value in given.values()):
        raise ValueError("give a table of names and texts")
    return given


Headers = Annotated[dict[str, str], BeforeValidator(_first_fault)]


class RequestBody(BaseModel):
    """Be a body whose unknown fields are refused, with the nearest name, and whose lists are short enough.

    A list is to be looked at up to the first item at fault: to tell of thousands takes seconds of the event loop's.
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:
        if isinstance(given, dict):
            for name, value in given.items():
                if name not in cls.model_fields:
                    raise ValueError(f"there is no field {name!r:.60}{nearest(str(name), cls.model_fields)}")
                if isinstance(value, (list, dict)) and len(value) > _MOST_ITEMS and name not in _FREE:
                    raise ValueError(f"{name} has {len(value)} items; send fewer at once")
        return given


class NewTask(RequestBody):
    """Describe a task to be created."""

    arguments: dict[str, Any] = Field(default_factory=dict, description="of the handler, by name")
    key: Key | None = Field(None, description="business key, for look-up")
    priority: Annotated[Whole, Field(ge=0, le=MAX_PRIORITY)] = Field(0, description="seconds by which it goes ahead")
    delay_seconds: Delay = Field(0, description="not started before that")
    run_at: WrittenMoment | None = Field(None, description="not started before that moment; in place of a delay")
    headers: Headers | None = Field(None, description="kept with the task")
    max_retries: Annotated[Whole, Field(ge=0, le=MAX_RETRIES)] | None = Field(
        None, description="attempts after the first; by default those of the type"
    )
    idempotency_key: Key | None = Field(None, description="a second task of its type with this key is not created")
    unique_key: Key | None = Field(
        None, description="no second task of its type with this key is created while one waits or is at work"
    )

    def call(self) -> Call:
        """Return the task as the outbox takes it."""
        return Call(
            self.arguments,
            self.key,
            self.headers,
            self.priority,
            self.delay_seconds,
            self.run_at,
            self.idempotency_key,
            self.max_retries,
            unique_key=self.unique_key,
        )


class CreateTask(NewTask):
    """Create one task."""

    task_type: TypeName


class CreateTasks(RequestBody):
    """Create several tasks of one type, all or none."""

    task_type: TypeName
    tasks: list[NewTask] = Field(min_length=1, fail_fast=True)


def _few(given: Any) -> Any:
    """Count the types before any is looked at."""
    if isinstance(given, dict) and len(given) > _MOST_TYPES:
        raise ValueError(f"there are {len(given)} task types; name at most {_MOST_TYPES} at once")
    return given


LimitsOfTypes = Annotated[dict[TypeName, Annotated[Whole, Field(ge=1)]], BeforeValidator(_few)]


class HoldTasks(RequestBody):
    """Ask for due tasks, of each type up to a number."""

    worker: WorkerName
    limits: LimitsOfTypes = Field(min_length=1, max_length=_MOST_TYPES)
    lease_seconds: LeaseSeconds | None = None
    wait_seconds: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 0


class ClaimName(RequestBody):
    """Name a claim: the task and the token that the hold gave."""

    id: UUID
    token: UUID

    def held(self) -> HeldClaim:
        """Return the claim's name."""
        return HeldClaim(self.id, self.token)


class RenewClaims(RequestBody):
    """Let claims last for another lease."""

    claims: list[ClaimName] = Field(min_length=1, fail_fast=True)
    lease_seconds: LeaseSeconds | None = None


class OneOutcome(RequestBody):
    """Tell what became of a task."""

    token: UUID
    outcome: OutcomeName
    delay_seconds: Delay | None = None
    error: ErrorText = ""
    result: Any = Field(None, description="what the handler returned, to be kept with the task that is done")

    def told(self, task_id: UUID) -> ClaimOutcome:
        """Return the outcome of that task."""
        result = Result(payloads.encode(self.result)[0].decode(), True) if "result" in self.model_fields_set else None
        return ClaimOutcome(HeldClaim(task_id, self.token), self.outcome, self.delay_seconds, self.error, result)


class NamedOutcome(OneOutcome):
    """Tell what became of one of several tasks."""

    id: UUID


class SetTasks(RequestBody):
    """Tell what became of several tasks."""

    outcomes: list[NamedOutcome] = Field(min_length=1, fail_fast=True)


class WriteCheckpoint(RequestBody):
    """Tell how far the work on a task has come; a lease renews the claim, too."""

    token: UUID
    stage: Stage
    context: Any = None
    lease_seconds: LeaseSeconds | None = None
