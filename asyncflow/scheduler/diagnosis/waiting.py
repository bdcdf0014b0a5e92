"""Why the oldest due tasks of a type wait: the first reason that holds is told, and each told once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity, given, lasting, listed, soon
from asyncflow.scheduler.diagnosis.hanging import finding_of_hang, hung_crews, longest_at_work
from asyncflow.scheduler.diagnosis.late_type import of_type
from asyncflow.scheduler.diagnosis.locks import locks_met
from asyncflow.scheduler.diagnosis.sight import MOST_TYPES, Sight, Waiting, at
from asyncflow.scheduler.diagnosis.words import say, say_of
from asyncflow.scheduler.telling.instance_state import InstanceState, ToldBreaker

_RECENT_SECONDS = 30.0  # within which rows were found locked, of a type that somebody is at work on
STUCK_SECONDS = 60.0  # what waits for longer, or is as it is for longer, is found; by default
_RUN = "asyncflow run MODULE:SCHEDULER"


def findings_of_waiting(sight: Sight, stuck_seconds: float = STUCK_SECONDS) -> Iterator[Finding]:
    """Return the reasons why types wait: those of the whole outbox first, then those of single types."""
    waiting = list(sight.waiting)
    if alone := _no_instance(sight):
        yield alone
        return
    yield from open_breakers(sight, waiting, stuck_seconds)
    for concerns_shards in (_misplaced, _unowned):
        if (found := concerns_shards(sight, waiting)) is not None:
            yield found
    for one in waiting[:MOST_TYPES]:
        if (found := reason_of(sight, one, stuck_seconds)) is not None:
            yield found
    if sight.not_looked_at is not None:
        yield _in_part(sight, sight.not_looked_at)


def reason_of(sight: Sight, one: Waiting, stuck_seconds: float) -> Finding | None:
    """Return why a type waits; None if it waits for what concerns others as well, and is told of them together."""
    for reason in _REASONS:
        if (found := reason(sight, one, stuck_seconds)) is not None:
            return found
    is_told_of_shards = bool(one.shards) and one.shards <= sight.unowned | sight.missing(one)
    if is_behind_breaker(sight, one.task_type) or is_told_of_shards:
        return None
    return _behind(sight, one, stuck_seconds)


# -- of the whole outbox -----------------------------------------------------------------------------------


def _no_instance(sight: Sight) -> Finding | None:
    """Tell that nobody is there, if anything waits."""
    if sight.members or sight.owning or not sight.waiting:
        return None
    longest = sight.waiting[0]
    has_run = bool(sight.owners)
    return Finding(
        code=Code.NO_INSTANCE,
        severity=Severity.STUCK,
        kind="tasks",
        name=f"of {listed(one.task_type for one in sight.waiting)}",
        since=sight.ago(longest.seconds),
        cause=say(
            "No scheduler runs{ever}; the oldest due task waits for {age}.",
            ever="" if has_run else say(", and none has taken a shard here yet"),
            age=lasting(longest.seconds),
        ),
        remedy=_RUN,
    )


def _misplaced(sight: Sight, waiting: Iterable[Waiting]) -> Finding | None:
    """Tell of tasks in shards that there are not: who wrote them counts more of them, and nobody looks there."""
    late = {one.task_type: one for one in waiting if sight.missing(one)}
    if not late:
        return None
    shards = sorted({shard for one in late.values() for shard in sight.missing(one)})
    return Finding(
        code=Code.SHARDS_UNOWNED,
        severity=Severity.STUCK,
        kind="shards",
        name=listed(shards),
        since=sight.ago(max(one.seconds for one in late.values())),
        cause=say(
            "Tasks of {types} stand in shards from {shard} on, but there are {count}: they were enqueued with another "
            "shard_count.",
            types=listed(late),
            shard=shards[0],
            count=len(sight.owners),
        ),
        remedy=say("asyncflow reshard MODULE:SCHEDULER  # while no scheduler runs"),
    )


def _unowned(sight: Sight, waiting: Iterable[Waiting]) -> Finding | None:
    late = {one.task_type: one for one in waiting if one.shards & sight.unowned}
    if not late:
        return None
    shards = sorted({shard for one in late.values() for shard in one.shards & sight.unowned})
    leaving = [member.name for member in sight.members if member.is_drained]
    why = say("no instance has taken them: the fixed shares of the instances that run leave them out, or none looks")
    if leaving and len(leaving) == len(sight.members):
        form = "{instances} are being drained, and no other instance takes them"
        if len(leaving) == 1:
            form = "{instances} is being drained, and no other instance takes them"
        why = say(form, instances=listed(leaving))
    longest = max(late.values(), key=lambda one: one.seconds)
    return Finding(
        code=Code.SHARDS_UNOWNED,
        severity=Severity.STUCK,
        kind="shards",
        name=listed(shards),
        since=sight.ago(longest.seconds),
        cause=say_of(
            len(shards),
            "Nobody owns {count} shard in which tasks of {types} are due: {why}.",
            "Nobody owns {count} shards in which tasks of {types} are due: {why}.",
            types=listed(late),
            why=why,
        ),
        remedy=f"asyncflow instances undrain {given('--name', leaving[0])}" if leaving else _RUN,
    )


def open_breakers(sight: Sight, waiting: Iterable[Waiting], stuck_seconds: float) -> Iterator[Finding]:
    """Return a finding for each destination or topic that an instance cannot reach."""
    told: dict[tuple[str, str | None], tuple[ToldBreaker, list[str]]] = {}
    for name, state in sight.states:
        for breaker in state.breakers:
            known = told.setdefault((breaker.destination, breaker.topic), (breaker, []))
            known[1].append(name)
            if breaker.since < known[0].since:
                told[breaker.destination, breaker.topic] = (breaker, known[1])
    for breaker, instances in told.values():
        late = [one.task_type for one in waiting if _concerns(sight, breaker, one.task_type)]
        yield _open_breaker(sight, breaker, instances, late, stuck_seconds)


def _open_breaker(
    sight: Sight, breaker: ToldBreaker, instances: list[str], late: list[str], stuck_seconds: float
) -> Finding:
    lasts = sight.seconds_since(breaker.since)
    place: str = breaker.destination
    if breaker.topic:
        place = say("The topic {topic} of {destination}", topic=breaker.topic, destination=breaker.destination)
    waits = say("; due tasks of {types} wait, and spend no attempts", types=listed(late)) if late else ""
    return Finding(
        code=Code.BREAKER_OPEN,
        severity=Severity.STUCK if late or lasts >= stuck_seconds else Severity.TROUBLE,
        kind="topic" if breaker.topic else "destination",
        name=f"{breaker.destination}/{breaker.topic}" if breaker.topic else breaker.destination,
        since=at(breaker.since),
        cause=say(
            "{place} cannot be reached by {instances}: {error}; it is tried again {when}{waits}.",
            place=place,
            instances=listed(instances),
            error=breaker.error or say("no error was told"),
            when=soon(-sight.seconds_since(breaker.probe_at)),
            waits=waits,
        ),
        remedy=say("asyncflow instances list --json  # then look after the broker: it is tried again by itself"),
    )


def is_behind_breaker(sight: Sight, task_type: str) -> bool:
    """Tell whether a breaker that is not closed may be the reason why a type waits."""
    return any(_concerns(sight, one, task_type) for _, state in sight.states for one in state.breakers)


def _concerns(sight: Sight, breaker: ToldBreaker, task_type: str) -> bool:
    destination = sight.destinations.get(task_type)
    if destination is not None:
        is_there = destination == breaker.destination
        return is_there and breaker.topic in (None, sight.topics[task_type])
    return task_type in breaker.types or breaker.type_count > len(breaker.types)


def _in_part(sight: Sight, last: str) -> Finding:
    return Finding(
        code=Code.LOOKED_IN_PART,
        severity=Severity.NOTICE,
        kind="task types",
        name=f"behind {last}",
        since=None,
        cause=say(
            "There are too many lanes to look at all of them; task types behind {last} were not looked at.", last=last
        ),
        remedy=say("asyncflow explain TASK  # for a task of one of them"),
    )


# -- of one type -------------------------------------------------------------------------------------------


def _off(sight: Sight, one: Waiting, _: float) -> Finding | None:
    if one.task_type not in sight.off:
        return None
    return of_type(
        sight,
        one,
        Code.TYPE_OFF,
        Severity.TROUBLE,
        say("it is switched off"),
        # Of a type that the table does not know, and no application is there that declares it, nobody else would know.
        f"asyncflow config set {given('--type', one.task_type)} --option enabled=true"
        f"{' --register' if one.task_type in sight.declared_off else ''}",
    )


def _undeclared(sight: Sight, one: Waiting, _: float) -> Finding | None:
    is_known_nowhere = sight.all_tell and all(one.task_type in state.undeclared for _, state in sight.states)
    if not is_known_nowhere:
        return None
    why = say_of(
        len(sight.states),
        "the one instance that runs does not declare it, and left it alone",
        "none of the {count} instances declares it: they left it alone",
    )
    return of_type(sight, one, Code.TYPE_UNDECLARED, Severity.STUCK, why, _RUN)


def _unhandled(sight: Sight, one: Waiting, _: float) -> Finding | None:
    def has_none(state: InstanceState) -> bool:
        return one.task_type in (*state.unhandled, *state.undeclared)

    if not sight.all_tell or one.task_type in sight.at_work or not all(has_none(state) for _, state in sight.states):
        return None
    why = say("it is declared, but no instance has a handler for it, and no worker of a task service takes it")
    return of_type(sight, one, Code.TYPE_UNHANDLED, Severity.STUCK, why, _RUN)


def _hang(sight: Sight, one: Waiting, stuck_seconds: float) -> Finding | None:
    return finding_of_hang(sight, one, hung_crews(sight, one.task_type, stuck_seconds), Severity.STUCK)


def _spent(sight: Sight, one: Waiting, _: float) -> Finding | None:
    if not any(one.task_type in state.spent for _, state in sight.states):
        return None
    why = say("its rate is spent: more tasks come than its rate_limit_per_second or interval_seconds lets through")
    return of_type(sight, one, Code.RATE_SPENT, Severity.TROUBLE, why, _more_of(sight, one.task_type))


def _more_of(sight: Sight, name: str) -> str:
    """Return what lets more tasks of a type through: a command for a handler's, a declaration for a message's."""
    if any(name in state.paced for _, state in sight.states):
        return f"asyncflow config set {given('--type', name)} --option interval_seconds=SECONDS --register"
    return say("outbox.message({name}, rate_limit_per_second=MORE)  # where it is declared", name=repr(name))


def _behind(sight: Sight, one: Waiting, stuck_seconds: float) -> Finding:
    busy = [name for name, state in sight.states if state.in_hand or state.rounds_per_second]
    if busy or not sight.all_tell:
        return _overtaken(sight, one, busy, stuck_seconds)
    failing = {trouble.name: trouble.error for _, state in sight.states for trouble in state.failing}
    why: str = say("no reason is known, and no instance has anything in hand: somebody may hold locks on its rows")
    remedy = "asyncflow instances list"
    if failing:
        loops = "; ".join(f"{name}: {error}" for name, error in failing.items())
        why = say("loops fail: {loops}", loops=loops)
    elif (met := locks_met(sight, one, one.seconds)) is not None:
        why, remedy = met.why, met.remedy or remedy
    return of_type(sight, one, Code.TYPE_BEHIND, Severity.STUCK, why, remedy)


def _overtaken(sight: Sight, one: Waiting, busy: list[str], stuck_seconds: float) -> Finding:
    """Return the finding of a type of which more comes than is done, as far as is known."""
    why: str = say(
        "nothing stands in its way: more comes than is done, and {instances} is at work",
        instances=listed(busy) or say("an instance"),
    )
    longest = longest_at_work(sight, one.task_type)
    if longest >= stuck_seconds:
        why = say("{why}; one of its handlers has been at work for {age}", why=why, age=lasting(longest))
    remedy = "asyncflow top"
    if (met := locks_met(sight, one, _RECENT_SECONDS)) is not None:
        why, remedy = met.why, met.remedy or remedy
    return of_type(sight, one, Code.TYPE_BEHIND, Severity.TROUBLE, why, remedy)


_Reason = Callable[[Sight, Waiting, float], Finding | None]
_REASONS: tuple[_Reason, ...] = (_off, _undeclared, _unhandled, _hang, _spent)
