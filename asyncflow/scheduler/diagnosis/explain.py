"""Why one task has not happened yet, and when it will be tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from asyncflow.errors import TaskNotFoundError
from asyncflow.outbox import Outbox, Status
from asyncflow.scheduler.connections.again import run_for_person
from asyncflow.scheduler.connections.engine_check import require_place
from asyncflow.scheduler.diagnosis import queries
from asyncflow.scheduler.diagnosis.finding import Code, lasting, soon
from asyncflow.scheduler.diagnosis.sight import Sight, Waiting, look_at_type
from asyncflow.scheduler.diagnosis.waiting import STUCK_SECONDS, findings_of_waiting, reason_of
from asyncflow.scheduler.diagnosis.words import say, say_of
from asyncflow.scheduler.operator.selection import task_id_of
from asyncflow.scheduler.table.claim_owner import shown_owner
from asyncflow.scheduler.table.fingerprints import error_of
from asyncflow.scheduler.table.table_check import require_tables

_MOST_AHEAD = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Tell of one task why it has not happened yet, or that it has.

    ``next_try`` is when it will be tried, by the database's clock; None if that is not known, or never.
    """

    task_id: UUID
    task_type: str
    status: Status
    why: str
    next_try: datetime | None = None
    remedy: str | None = None  # a command

    def as_dict(self) -> Mapping[str, Any]:
        """Return all of it as plain values, for JSON."""
        next_try = None if self.next_try is None else self.next_try.isoformat()
        return {**asdict(self), "task_id": str(self.task_id), "status": self.status.name, "next_try": next_try}


def explain(engine: Engine, outbox: Outbox, task_id: UUID | str) -> Explanation:
    """Return why a task has not happened yet; raises TaskNotFoundError, TablesMissingError or OptionError."""
    require_place(engine, outbox)
    wanted = task_id_of(task_id)
    require_tables(engine, outbox)
    return run_for_person(engine, lambda connection: _explain(connection, outbox, wanted))


def _explain(connection: Connection, outbox: Outbox, task_id: UUID) -> Explanation:
    rows = outbox.shelf.rows(connection, queries.one_task, {"its_id": task_id})
    if not rows:
        raise TaskNotFoundError(f"there is no task {task_id}; is it another outbox's, or was it deleted?")
    row = rows[0]
    match Status(row.status):
        case Status.SUCCESS:
            why = say("It has happened, {age} ago{attempt}.", age=_ago(row, row.modified_at), attempt=_at(outbox, row))
            return _told(row, why)
        case Status.CANCELLED:
            form = "It was cancelled {age} ago and will not happen{because}."
            return _told(row, say(form, age=_ago(row, row.modified_at), because=_because(row)))
        case Status.FAILED:
            return _dead(row)
        case Status.PROCESSING:
            return _at_work(connection, outbox, row)
        case _:
            return _waiting(connection, outbox, row)


def _dead(row: Any) -> Explanation:
    why = say_of(
        row.retry_count,
        "It is a dead letter since {age}, after {count} attempt{because}.",
        "It is a dead letter since {age}, after {count} attempts{because}.",
        age=_ago(row, row.order_time),
        because=_because(row),
    )
    return _told(row, why, remedy=f"asyncflow dead-letters replay --id {row.id} --yes")


def _at_work(connection: Connection, outbox: Outbox, row: Any) -> Explanation:
    sight = look_at_type(connection, outbox, row.task_type)
    owner = shown_owner(row.owner) or say("somebody")
    since, left = _ago(row, row.modified_at), (row.order_time - row.now).total_seconds()
    is_here = any(member.name == owner for member in sight.members)
    if left > 0:
        gone = say(", which is no instance that runs: a worker of a task service, or one that has died")
        why = say(
            "{owner}{gone} is at work on it, attempt {count}, and was heard of {age} ago{hang}; if nothing more is "
            "heard, the task is given back in {left}.",
            owner=owner,
            gone="" if is_here else gone,
            age=since,
            count=row.retry_count,
            hang=_hang(sight, row.task_type, owner),
            left=lasting(left),
        )
        return _told(row, why, remedy=f"asyncflow tasks show --id {row.id}")
    why = say(
        "{owner} claimed it {age} ago, and the claim ran out {late} ago; the monitor of the instance that owns shard "
        "{shard} gives it back{nobody}.",
        owner=owner,
        age=since,
        late=lasting(-left),
        shard=row.shard,
        nobody="" if sight.owners.get(row.shard) else say(", and nobody owns that shard"),
    )
    return _told(row, why, remedy="asyncflow instances list")


def _hang(sight: Sight, task_type: str, owner: str) -> str:
    """Tell since when all handlers of a type are at work there: the row tells when its worker was heard of last."""
    crews = (crew for name, state in sight.states if name == owner for crew in state.crews)
    crew = next((crew for crew in crews if crew.task_type == task_type), None)
    if crew is None:
        return ""
    longest = lasting(sight.seconds_since(crew.since))
    if not crew.waiting:
        return say("; all handlers of its type are at work there, the longest for {age}", age=longest)
    return say_of(
        crew.waiting,
        "; all handlers of its type are at work there, the longest for {age}, and {count} claimed task waits for them, "
        "which may be this one",
        "; all handlers of its type are at work there, the longest for {age}, and {count} claimed tasks wait for them, "
        "of which this may be one",
        age=longest,
    )


def _waiting(connection: Connection, outbox: Outbox, row: Any) -> Explanation:
    sight = look_at_type(connection, outbox, row.task_type)
    parked = _parked(connection, outbox, row)
    if parked is not None:
        return _behind_its_key(row, parked)
    due_in = (row.next_select_time - row.now).total_seconds()
    if due_in > 0:
        if not row.retry_count and error_of(row.schedule_log):
            form = "It was put off, which spends no attempt, and is tried again in {age}{because}."
            return _told(row, say(form, age=lasting(due_in), because=_because(row)), row.next_select_time)
        if not row.retry_count:
            why = say("It is not due yet: it was enqueued with a delay, which ends in {age}.", age=lasting(due_in))
            return _told(row, why, row.next_select_time)
        why = say_of(
            row.retry_count,
            "It failed once and is tried again in {age}{because}.",
            "It failed {count} times and is tried again in {age}{because}.",
            age=lasting(due_in),
            because=_because(row),
        )
        return _told(row, why, row.next_select_time)
    return _due(connection, outbox, row, sight)


def _due(connection: Connection, outbox: Outbox, row: Any, sight: Sight) -> Explanation:
    waits = max(0.0, (row.now - row.next_select_time).total_seconds())
    one = Waiting(row.task_type, waits, frozenset([row.shard]))
    if sight.missing(one):
        form = "It stands in shard {shard}, but there are {count}: it was enqueued with another shard_count."
        remedy = say("asyncflow reshard MODULE:SCHEDULER  # while no scheduler runs")
        return _told(row, say(form, shard=row.shard, count=len(sight.owners)), remedy=remedy)
    for finding in _reasons(sight, one):
        return _told(row, finding.cause, remedy=finding.remedy)
    ahead = connection.execute(
        queries.count_ahead(outbox.tasks),
        {"its_type": row.task_type, "its_shard": row.shard, "its_time": row.order_time, "most": _MOST_AHEAD},
    ).scalar_one()
    form = "It is due since {age} and next in its lane; {owner} owns shard {shard} and takes it soon."
    if ahead == 1:
        form = "It is due since {age}; {many} of its lane goes before it, and {owner} owns shard {shard}."
    elif ahead:
        form = "It is due since {age}; {many} of its lane go before it, and {owner} owns shard {shard}."
    many = say("{count} or more", count=ahead) if ahead == _MOST_AHEAD else ahead
    why = say(form, age=lasting(waits), many=many, owner=sight.owners.get(row.shard), shard=row.shard)
    return _told(row, why, row.now)


def _reasons(sight: Sight, one: Waiting) -> list[Any]:
    """Return what holds the task up; that it is only behind others is told in another way."""
    looked = Sight(**{**_fields(sight), "waiting": [one]})
    general = [
        finding for finding in findings_of_waiting(looked, STUCK_SECONDS) if finding.code.value not in _NO_REASONS
    ]
    own = reason_of(looked, one, STUCK_SECONDS)
    found = [own] if own is not None and own.code.value not in _NO_REASONS else []
    return [*found, *(one for one in general if one.code is not Code.BREAKER_OPEN or ", and spend no" in one.cause)]


_NO_REASONS = ("type-behind", "looked-in-part")


def _fields(sight: Sight) -> dict[str, Any]:
    return {name: getattr(sight, name) for name in sight.__dataclass_fields__}


def _parked(connection: Connection, outbox: Outbox, row: Any) -> Any:
    if row.task_key is None:
        return None
    values = {"its_type": row.task_type, "its_key": row.task_key}
    return connection.execute(queries.parked_key(outbox.parked_keys), values).one_or_none()


def _behind_its_key(row: Any, parked: Any) -> Explanation:
    if parked.due is None:
        why = say(
            "Its type is ordered, and its key {key} waits behind the dead letter {letter}: it goes on when that is "
            "replayed, cancelled or discarded.",
            key=row.task_key,
            letter=parked.blocked_by,
        )
        return _told(row, why, remedy=f"asyncflow dead-letters show --id {parked.blocked_by}")
    why = say(
        "Its type is ordered, and its key {key} is parked since {age}: the key's first task is tried {when}, and this "
        "one in its turn{because}.",
        key=row.task_key,
        age=_ago(row, parked.since),
        when=soon((parked.due - row.now).total_seconds()),
        because=_because(row),
    )
    return _told(row, why, max(parked.due, row.now))


def _told(row: Any, why: str, next_try: datetime | None = None, remedy: str | None = None) -> Explanation:
    return Explanation(
        task_id=row.id,
        task_type=row.task_type,
        status=Status(row.status),
        why=why,
        next_try=next_try,
        remedy=remedy,
    )


def _ago(row: Any, moment: datetime) -> str:
    return lasting((row.now - moment).total_seconds())


def _at(outbox: Outbox, row: Any) -> str:
    """Say at which attempt it happened: a claim counts its attempt as it begins, a relay none that succeeds."""
    if row.task_type in outbox.handler_types:
        return say(", at attempt {count}", count=max(1, row.retry_count))
    return say(", at attempt {count}", count=row.retry_count + 1) if row.task_type in outbox.task_types else ""


def _because(row: Any) -> str:
    error = error_of(row.schedule_log)
    return say("; the last entry of its log: {error}", error=error) if error else ""
