"""Locks of others on rows of a type, as instances met them: these rows are left until they are free."""

from __future__ import annotations

from typing import NamedTuple

from asyncflow.scheduler.diagnosis.finding import lasting, listed
from asyncflow.scheduler.diagnosis.sight import Sight, Waiting
from asyncflow.scheduler.diagnosis.words import say
from asyncflow.scheduler.telling.recollection import LOCKED


class LocksMet(NamedTuple):
    """Hold what is told of them, and what finds who has them; None for a database without locks on rows."""

    why: str
    remedy: str | None


def locks_met(sight: Sight, one: Waiting, within_seconds: float) -> LocksMet | None:
    """Return what is told where instances met locks on rows of a type so lately; None where they did not."""
    place = sight.destinations.get(one.task_type)  # None: a handler's, or one that is not declared here
    met = {
        name: trouble.last
        for name, state in sight.states
        for trouble in state.troubles
        if trouble.name.startswith(LOCKED)
        and (place is None or trouble.name == f"{LOCKED}{place}")
        and sight.seconds_since(trouble.last) <= within_seconds
    }
    if not met:
        return None
    why = say(
        "{instances} met locks of somebody else on rows {age} ago, and leaves these rows until they are free",
        instances=listed(met),
        age=lasting(sight.seconds_since(max(met.values()))),
    )
    form = "{statement};  -- in the database, then end who holds locks"
    asked = sight.oldest_transactions
    return LocksMet(why, None if asked is None else say(form, statement=asked))
