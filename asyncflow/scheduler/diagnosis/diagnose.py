"""The diagnosis: all findings about one outbox, by bounded reads, whatever the number of tasks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection, Engine

from asyncflow.outbox import Outbox
from asyncflow.outbox.options import require_number
from asyncflow.scheduler.connections.again import run_for_person
from asyncflow.scheduler.connections.engine_check import require_place
from asyncflow.scheduler.diagnosis.dead_letters import LATELY_SECONDS, findings_of_letters
from asyncflow.scheduler.diagnosis.finding import Finding, Severity, in_order
from asyncflow.scheduler.diagnosis.hanging import findings_of_hanging
from asyncflow.scheduler.diagnosis.instances import findings_of_claims, findings_of_instances
from asyncflow.scheduler.diagnosis.sight import Sight, look
from asyncflow.scheduler.diagnosis.tables import findings_of_tables
from asyncflow.scheduler.diagnosis.upkeep import findings_of_cleaning, findings_of_keys
from asyncflow.scheduler.diagnosis.waiting import STUCK_SECONDS, findings_of_waiting

_MOST_SECONDS = 10 * 365 * 86400.0


def diagnose(
    engine: Engine,
    outbox: Outbox,
    *,
    stuck_seconds: float = STUCK_SECONDS,
    letters_seconds: float = LATELY_SECONDS,
) -> list[Finding]:
    """Return what does not move or will not for long, the most urgent first; nothing if all is well.

    ``stuck_seconds``: how long a due task waits before its reason is looked for. ``letters_seconds``: how young dead
    letters are new; a caller who looks again and again gives the time since its last look. Reads only, in one
    transaction. Raises OptionError, ConnectionSilentError, or what the database raises.
    """
    require_place(engine, outbox)
    require_number("stuck_seconds", stuck_seconds, 0.001, _MOST_SECONDS)
    require_number("letters_seconds", letters_seconds, 0.001, _MOST_SECONDS)
    if differing := list(findings_of_tables(engine, outbox)):
        return differing  # the others would read what is not there, or all of it

    _, findings = look_and_find(engine, outbox, stuck_seconds=stuck_seconds, letters_seconds=letters_seconds)
    return in_order(findings)


def look_and_find(
    engine: Engine,
    outbox: Outbox,
    *,
    stuck_seconds: float = STUCK_SECONDS,
    letters_seconds: float = LATELY_SECONDS,
) -> tuple[Sight, list[Finding]]:
    """Return what one look has seen, of all that is due, and the findings; of tables that are as they should be."""

    def read(connection: Connection) -> tuple[Sight, list[Finding]]:
        sight = look(connection, outbox, 0.0)
        late = [one for one in sight.waiting if one.seconds >= stuck_seconds]
        lately = sight.waiting[len(late) :]  # the longest come first
        parted = replace(sight, waiting=late, lately=lately)
        return sight, _find(connection, outbox, parted, stuck_seconds, letters_seconds)

    return run_for_person(engine, read)


def _find(
    connection: Connection, outbox: Outbox, sight: Sight, stuck_seconds: float, letters_seconds: float
) -> list[Finding]:
    waiting = list(findings_of_waiting(sight, stuck_seconds))
    return [
        *waiting,
        *findings_of_hanging(sight, {one.name for one in waiting if one.kind == "task type"}, stuck_seconds),
        *findings_of_keys(sight, stuck_seconds),
        *findings_of_instances(sight),
        *findings_of_claims(connection, outbox, sight),
        *findings_of_letters(connection, outbox, letters_seconds),
        *findings_of_cleaning(connection, outbox, sight),
    ]


def is_stuck(findings: Iterable[Finding]) -> bool:
    """Tell whether something waits that only a person will mend."""
    return any(finding.severity is Severity.STUCK for finding in findings)
