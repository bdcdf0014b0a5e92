"""Several databases asked at once: each answers in time, or is away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from asyncflow.errors import ServiceBusyError
from asyncflow.integrations.flowsvr.door.problems import RETRY, Problem, problem_of

T = TypeVar("T")
_AWAY = 503


@dataclass(frozen=True)
class Gathered(Generic[T]):
    """Hold what databases answered, by their names, and what kept those from it that are away."""

    given: dict[str, T]
    away: dict[str, Exception]

    def require_one(self) -> None:
        """Raise what keeps the first from answering if none has answered."""
        if self.away and not self.given:
            raise next(iter(self.away.values()))


class Asking:
    """Ask several databases at once; lives as long as the service, on its event loop.

    What is not answered in time goes on by itself, on threads of its database: a write may still happen.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience = patience_seconds
        self._under_way: set[asyncio.Task[Any]] = set()

    async def each(self, works: Mapping[str, Coroutine[Any, Any, T]]) -> Gathered[T]:
        """Return the answers; raises what no other database would answer to either, such as a field at fault."""
        asked = {name: self._begin(work) for name, work in works.items()}
        if asked:
            await asyncio.wait(asked.values(), timeout=self._patience)
        found = Gathered[T]({}, {})
        for name, task in asked.items():
            error = self._fault(name, task)
            if error is None:
                found.given[name] = task.result()
            elif problem_of(error).status == _AWAY:
                found.away[name] = error
            else:
                raise error
        return found

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked has gone on, perhaps

    def _fault(self, name: str, task: asyncio.Task[Any]) -> Exception | None:
        if not task.done():
            return ServiceBusyError(f"the database {name!r} did not answer within {self._patience:g} seconds")
        error = task.exception()
        if error is None or isinstance(error, Exception):
            return error
        raise error


def named_away(away: Iterable[str], what: str) -> Problem:
    """Return the problem that databases are away, of which one may have what was asked for."""
    names = sorted(away)
    return Problem(503, f"{what}; away: {', '.join(names)}", RETRY, away=names)
