"""Handlers that hang are told of as soon as it is sure, and none that are only slow."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity
from asyncflow.scheduler.diagnosis.hanging import findings_of_hanging
from asyncflow.scheduler.diagnosis.sight import Sight, Waiting
from asyncflow.scheduler.diagnosis.waiting import STUCK_SECONDS, findings_of_waiting
from asyncflow.scheduler.telling.instance_state import InstanceState, ToldCrew
from asyncflow.scheduler.telling.roll_call import Member

NOW = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)


def crew(longest: float, youngest: float, *, usual: float | None = None, waiting: int = 0) -> ToldCrew:
    began = NOW.timestamp()
    told: dict[str, Any] = {"since": began - longest, "youngest_since": began - youngest, "usual_seconds": usual}
    return ToldCrew(task_type="mail", at_work=4, waiting=waiting, **told)


def sight(*crews: ToldCrew | None, due: float = 0.0) -> Sight:
    """Return what is seen of instances, each with a crew that has no hand free, or a free one; and of what is due."""
    members = [
        Member(
            name=f"instance-{number}",
            jobs=("outbox",),
            lease_seconds_left=5.0,
            is_leaving=False,
            state=InstanceState(crews=() if one is None else (one,), in_hand=4),
        )
        for number, one in enumerate(crews, 1)
    ]
    waits = [Waiting("mail", due, frozenset({0}))] if due else []
    is_late = due >= STUCK_SECONDS
    seen: dict[str, Any] = {"waiting": waits if is_late else [], "lately": [] if is_late else waits}
    return Sight(now=NOW, members=members, owners={0: "instance-1"}, **seen)


def found(seen: Sight) -> list[Finding]:
    late = list(findings_of_waiting(seen))
    return [*late, *findings_of_hanging(seen, {one.name for one in late}, STUCK_SECONDS)]


def test_handlers_that_are_usually_quick_are_told_of_before_the_minute_is_over() -> None:
    (finding,) = found(sight(crew(9, 6, usual=0.02), due=7))
    assert (finding.code, finding.severity) == (Code.HANDLERS_HANG, Severity.NOTICE)
    assert finding.cause == (
        "The oldest due task of mail waits for 7 s: all its 4 handlers are at work on instance-1, "
        "the longest of them for 9 s; usually one takes 0.02 s."
    )
    assert finding.remedy == "asyncflow tasks list --type mail --status processing"


@pytest.mark.parametrize(
    "seen",
    [
        sight(crew(9, 2, usual=0.02), due=7),
        sight(crew(9, 6, usual=2.0), due=7),
        sight(crew(9, 6), due=7),
        sight(crew(9, 6, usual=0.02), due=3),
        sight(crew(9, 6, usual=0.02)),
        sight(crew(9, 6, usual=0.02), None, due=7),
    ],
    ids=["one goes on", "slow", "unknown", "due just now", "none waits", "another is free"],
)
def test_what_may_only_be_slow_is_not_told_of(seen: Sight) -> None:
    assert found(seen) == []


def test_claimed_tasks_that_wait_behind_them_are_told_of_though_nothing_in_the_table_is_due() -> None:
    (early,) = found(sight(crew(9, 6, usual=0.02, waiting=96), None))
    assert early.severity is Severity.NOTICE
    assert early.cause.startswith("96 claimed tasks of mail wait: all its 4 handlers are at work on instance-1, ")
    (late,) = found(sight(crew(70, 65, waiting=1)))
    assert late.severity is Severity.STUCK
    assert late.cause.startswith("1 claimed task of mail waits: all its 4 handlers are at work on instance-1, ")


def test_what_waits_for_a_minute_is_stuck_where_all_hang_and_told_once() -> None:
    (finding,) = found(sight(crew(70, 20, usual=1.0, waiting=5), due=61))
    assert (finding.code, finding.severity) == (Code.HANDLERS_HANG, Severity.STUCK)


def test_long_work_that_has_a_backlog_is_behind_and_does_not_hang() -> None:
    (finding,) = found(sight(crew(100, 80, usual=50.0), due=90))
    assert (finding.code, finding.severity) == (Code.TYPE_BEHIND, Severity.TROUBLE)
    assert finding.cause.endswith("instance-1 is at work; one of its handlers has been at work for 100 s.")


def test_an_instance_that_does_not_tell_of_its_youngest_attempt_hangs_by_its_longest() -> None:
    older = ToldCrew(task_type="mail", at_work=1, since=NOW.timestamp() - 65)
    (finding,) = found(sight(older, due=61))
    assert (finding.code, finding.severity) == (Code.HANDLERS_HANG, Severity.STUCK)
