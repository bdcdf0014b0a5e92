"""The finding of a task type whose oldest due task waits, with the reason."""

from __future__ import annotations

from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity, lasting
from asyncflow.scheduler.diagnosis.sight import Sight, Waiting
from asyncflow.scheduler.diagnosis.words import say


def of_type(sight: Sight, one: Waiting, code: Code, severity: Severity, why: str, remedy: str) -> Finding:
    """Return the finding; ``why`` is the reason, as a part of its sentence."""
    return Finding(
        code=code,
        severity=severity,
        kind="task type",
        name=one.task_type,
        since=sight.ago(one.seconds),
        cause=say(
            "The oldest due task of {type} waits for {age}: {why}.",
            type=one.task_type,
            age=lasting(one.seconds),
            why=why,
        ),
        remedy=remedy,
    )
