"""Handlers that hang: all of a type are at work for much longer than they take, and further tasks wait for them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity, given, lasting, listed
from asyncflow.scheduler.diagnosis.late_type import of_type
from asyncflow.scheduler.diagnosis.sight import Sight, Waiting
from asyncflow.scheduler.diagnosis.words import say, say_of
from asyncflow.scheduler.telling.instance_state import ToldCrew

_EARLY_SECONDS = 5.0  # before that nothing is said, however short attempts usually are
_TIMES_USUAL = 10.0  # that even the youngest attempt of a crew has lasted, when it is known to hang
_LEAST_TIMES_USUAL = 3.0  # where ten times would be longer than what counts as stuck

CrewsOfType = Mapping[str, ToldCrew]  # by instance


def findings_of_hanging(sight: Sight, told: Collection[str], stuck_seconds: float) -> Iterator[Finding]:
    """Return the types whose handlers hang while others wait for them in the process, or are due but not for long yet.

    ``told`` are the types of which it is said already that they wait, and why.
    """
    waiting = {one.task_type: one for one in sight.lately if one.seconds >= _early(stuck_seconds)}
    names = {crew.task_type for _, state in sight.states for crew in state.crews}
    for name in sorted(names - set(told)):
        held = {who: crew for who, crew in _hung(sight, name, stuck_seconds).items() if crew.waiting}
        if held:
            yield _of_held(sight, name, held, stuck_seconds)
        elif name in waiting:
            crews = hung_crews(sight, name, stuck_seconds)
            if (found := finding_of_hang(sight, waiting[name], crews, Severity.NOTICE)) is not None:
                yield found


def hung_crews(sight: Sight, task_type: str, stuck_seconds: float) -> CrewsOfType:
    """Return the crews of a type if it hangs wherever somebody could do it; else none."""
    who_has = [name for name, state in sight.states if task_type not in (*state.unhandled, *state.undeclared)]
    hung = _hung(sight, task_type, stuck_seconds)
    return hung if len(hung) >= len(who_has) else {}


def finding_of_hang(sight: Sight, one: Waiting, crews: CrewsOfType, severity: Severity) -> Finding | None:
    """Return the finding of a type that waits for handlers that hang; None without such."""
    if not crews:
        return None
    return of_type(sight, one, Code.HANDLERS_HANG, severity, _why(sight, crews), _remedy(one.task_type))


def longest_at_work(sight: Sight, task_type: str) -> float:
    """Return for how long the longest attempt of a type has lasted, of crews that have no hand free; 0 without such."""
    return max((sight.seconds_since(crew.since) for crew in _crews_of(sight, task_type).values()), default=0.0)


def _crews_of(sight: Sight, task_type: str) -> CrewsOfType:
    return {who: crew for who, state in sight.states for crew in state.crews if crew.task_type == task_type}


def _hung(sight: Sight, task_type: str, stuck_seconds: float) -> CrewsOfType:
    """Return the crews of which no attempt has ended for long: one that goes on beside some that hang is no such."""
    crews = _crews_of(sight, task_type).items()
    return {who: crew for who, crew in crews if _lasts(sight, crew) >= _enough(crew, stuck_seconds)}


def _lasts(sight: Sight, crew: ToldCrew) -> float:
    return sight.seconds_since(crew.youngest_since or crew.since)  # a version that does not tell of the youngest


def _enough(crew: ToldCrew, stuck_seconds: float) -> float:
    if crew.usual_seconds is None:
        return stuck_seconds
    most = max(stuck_seconds, _LEAST_TIMES_USUAL * crew.usual_seconds)
    return max(_early(stuck_seconds), min(_TIMES_USUAL * crew.usual_seconds, most))


def _early(stuck_seconds: float) -> float:
    return min(_EARLY_SECONDS, stuck_seconds)


def _of_held(sight: Sight, task_type: str, crews: CrewsOfType, stuck_seconds: float) -> Finding:
    lasts = min(_lasts(sight, crew) for crew in crews.values())
    return Finding(
        code=Code.HANDLERS_HANG,
        severity=Severity.STUCK if lasts >= stuck_seconds else Severity.NOTICE,
        kind="task type",
        name=task_type,
        since=sight.ago(lasts),
        cause=say_of(
            sum(crew.waiting for crew in crews.values()),
            "{count} claimed task of {type} waits: {why}.",
            "{count} claimed tasks of {type} wait: {why}.",
            type=task_type,
            why=_why(sight, crews),
        ),
        remedy=_remedy(task_type),
    )


def _why(sight: Sight, crews: CrewsOfType) -> str:
    why = say_of(
        sum(crew.at_work for crew in crews.values()),
        "its only handler has been at work on {instances} for {age}",
        "all its {count} handlers are at work on {instances}, the longest of them for {age}",
        instances=listed(crews),
        age=lasting(sight.seconds_since(min(crew.since for crew in crews.values()))),
    )
    usual = [crew.usual_seconds for crew in crews.values() if crew.usual_seconds is not None]
    return say("{why}; usually one takes {usual}", why=why, usual=_exactly(max(usual))) if usual else why


def _exactly(seconds: float) -> str:
    return lasting(seconds) if seconds >= _EARLY_SECONDS else say("{count} s", count=f"{max(0.001, seconds):.2g}")


def _remedy(task_type: str) -> str:
    return f"asyncflow tasks list {given('--type', task_type)} --status processing"
