"""What is wrong with the instances: clocks, pools, versions, settings, loops, fenced writes, claims that run out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.outbox.status import Status
from asyncflow.scheduler.diagnosis import queries
from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity, given, lasting, listed
from asyncflow.scheduler.diagnosis.sight import Sight, at
from asyncflow.scheduler.diagnosis.words import say, say_of
from asyncflow.scheduler.telling.instance_state import ToldTrouble
from asyncflow.scheduler.telling.recollection import ARCHIVE, FENCED, POOL, ROLL_OVER

_APART_SECONDS = 5.0
_LATELY_SECONDS = 900.0
_FAILURES = 3  # of a loop in a row: one may be chance
_CLAIMS = 2  # of a type that ran out within an hour: one may be a restart
_ROWS = 300  # that are looked at for a task whose claims run out


def findings_of_instances(sight: Sight) -> Iterator[Finding]:
    """Return what the instances tell is wrong with themselves, or is seen beside each other."""
    yield from _clocks(sight)
    for name, state in sight.states:
        for trouble in state.troubles:
            if sight.seconds_since(trouble.last) <= _LATELY_SECONDS:
                yield from _trouble(name, trouble)
        for failing in state.failing:
            if failing.count >= _FAILURES:
                yield _failing(name, failing)
    yield from _versions(sight)
    yield from _settings(sight)


def _clocks(sight: Sight) -> Iterator[Finding]:
    for name, state in sight.states:
        ahead = state.seconds_ahead
        if ahead is not None and abs(ahead) >= _APART_SECONDS:
            form = (
                "The clock of {host} is {age} ahead of the database's: due times go by the database's, but logs and "
                "what handlers write by their own."
                if ahead > 0
                else "The clock of {host} is {age} behind the database's: due times go by the database's, but logs and "
                "what handlers write by their own."
            )
            yield Finding(
                code=Code.CLOCKS_APART,
                severity=Severity.TROUBLE,
                kind="instance",
                name=name,
                since=None,
                cause=say(form, host=state.host or name, age=lasting(abs(ahead))),
                remedy=say("chronyc makestep  # on that host, or whatever keeps its clock"),
            )


class _TroubleTold(NamedTuple):
    """Hold what a trouble is called, what it comes of, and what mends it."""

    code: Code
    cause: str
    remedy: str


def _trouble(name: str, trouble: ToldTrouble) -> Iterator[Finding]:
    if (told := _told_of(name, trouble)) is not None:
        yield Finding(
            code=told.code,
            severity=Severity.TROUBLE,
            kind="instance",
            name=name,
            since=at(trouble.since),
            cause=told.cause,
            remedy=told.remedy,
        )


def _told_of(name: str, trouble: ToldTrouble) -> _TroubleTold | None:
    """Return what is told of a trouble; None of one that a later version may have."""
    if trouble.name == FENCED:
        cause = say_of(
            trouble.count,
            "{count} settle of {instance} changed nothing, for others owned the shards by then or had settled the "
            "rows: it paused for longer than its lease, or two instances have one instance_index.",
            "{count} settles of {instance} changed nothing, for others owned the shards by then or had settled the "
            "rows: it paused for longer than its lease, or two instances have one instance_index.",
            instance=name,
        )
        return _TroubleTold(Code.WRITES_FENCED, cause, "asyncflow instances list")
    if trouble.name == POOL:
        cause = say_of(
            trouble.count,
            "A loop of {instance} waited in vain for a connection of the pool: it is too small, or "
            "the application keeps its connections.",
            "Loops of {instance} waited {count} times in vain for a connection of the pool: it is too small, or "
            "the application keeps its connections.",
            instance=name,
        )
        remedy = say("create_engine(..., pool_size=20)  # or give the scheduler an engine of its own")
        return _TroubleTold(Code.POOL_TOO_SMALL, cause, remedy)
    if trouble.name == ARCHIVE:
        cause = say(
            "{instance} can archive nothing, so it deletes and drops nothing: {error}.",
            instance=name,
            error=trouble.error,
        )
        remedy = say("df -h DIRECTORY  # make room, or give the right to write; it goes on by itself")
        return _TroubleTold(Code.ARCHIVE_HELD_UP, cause, remedy)
    if trouble.name == ROLL_OVER:
        cause = say(
            "Roll-over cannot take its next step in {instance}, and tries again: {error}.",
            instance=name,
            error=trouble.error,
        )
        remedy = say("asyncflow roll-over show  # what mends each reason is on the page of roll-over")
        return _TroubleTold(Code.ROLL_OVER_HELD_UP, cause, remedy)
    return None


def _failing(name: str, failing: ToldTrouble) -> Finding:
    return Finding(
        code=Code.LOOP_FAILING,
        severity=Severity.STUCK,
        kind="instance",
        name=name,
        since=at(failing.since),
        cause=say(
            "The loop {loop} of {instance} has failed {count} times in a row: {error}.",
            loop=failing.name,
            instance=name,
            count=failing.count,
            error=failing.error,
        ),
        remedy=say("asyncflow instances list --json  # and the log of that process has the traceback"),
    )


def _versions(sight: Sight) -> Iterator[Finding]:
    versions: dict[str, list[str]] = {}
    for member in sight.members:
        told = member.state.version if member.state else "one that tells nothing"
        versions.setdefault(told, []).append(member.name)
    if len(versions) > 1:
        told = "; ".join(f"{version} ({listed(names)})" for version, names in sorted(versions.items()))
        yield Finding(
            code=Code.VERSIONS_DIFFER,
            severity=Severity.NOTICE,
            kind="instances",
            name=listed(member.name for member in sight.members),
            since=None,
            cause=say(
                "The instances are of different versions: {versions}. During a deployment that is as it should be.",
                versions=told,
            ),
            remedy="asyncflow instances list",
        )


def _settings(sight: Sight) -> Iterator[Finding]:
    differing: dict[str, dict[str, list[str]]] = {}
    names = {setting for _, state in sight.states for setting in state.settings}
    for setting in sorted(names):
        values: dict[str, list[str]] = {}
        for name, state in sight.states:
            values.setdefault(str(state.settings.get(setting, "the default")), []).append(name)
        if len(values) > 1:
            differing[setting] = values
    if differing:
        told = "; ".join(
            f"{setting} is " + ", ".join(f"{value} ({listed(names)})" for value, names in values.items())
            for setting, values in differing.items()
        )
        yield Finding(
            code=Code.SETTINGS_DIFFER,
            severity=Severity.NOTICE,
            kind="instances",
            name=listed(name for name, _ in sight.states),
            since=None,
            cause=say("The instances have different settings: {settings}.", settings=told),
            remedy="asyncflow instances list --json",
        )


def findings_of_claims(connection: Connection, outbox: Outbox, sight: Sight) -> Iterator[Finding]:
    """Return the types of which claims run out again and again, with the task that is the likeliest reason."""
    told: dict[str, list[ToldTrouble]] = {}
    for _, state in sight.states:
        for trouble in state.ran_out:
            told.setdefault(trouble.name, []).append(trouble)
    for name, troubles in sorted(told.items()):
        count = sum(trouble.count for trouble in troubles)
        if count >= _CLAIMS:
            since = min(trouble.since for trouble in troubles)
            yield _ran_out(name, count, since, _most_tried(connection, outbox, name))


def _ran_out(name: str, count: int, since: float, task: Any) -> Finding:
    if task is None:
        told, remedy = say("their workers died, hung or were cut off"), f"asyncflow tasks list {given('--type', name)}"
    else:
        told = say_of(
            task.retry_count,
            "the task {id} may kill its worker: it was begun once",
            "the task {id} may kill its worker: it was begun {count} times",
            id=task.id,
        )
        remedy = f"asyncflow explain {task.id}"
    return Finding(
        code=Code.CLAIMS_RUN_OUT,
        severity=Severity.TROUBLE,
        kind="task type",
        name=name,
        since=at(since),
        cause=say(
            "Claims of {count} tasks of {type} ran out within the last hour: {why}.", count=count, type=name, why=told
        ),
        remedy=remedy,
    )


def _most_tried(connection: Connection, outbox: Outbox, name: str) -> Any:
    """Return the row of the type that was begun most often, of those whose log tells of a claim that ran out."""
    found: list[Any] = []
    for status in (Status.PENDING, Status.PROCESSING, Status.FAILED):
        values = {"its_type": name, "its_status": int(status), "most": _ROWS}
        rows = connection.execute(queries.rows_of_type(outbox.tasks), values)
        # One that nobody began has killed nobody: its worker died with it in hand, and the attempt was given back.
        found += [row for row in rows if row.retry_count and "the claim" in (row.schedule_log or "")]
    return max(found, key=lambda row: (row.retry_count, row.modified_at), default=None)
