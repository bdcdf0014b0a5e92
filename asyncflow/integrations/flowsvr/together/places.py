"""Where tasks lie: what is known of it, and what has to be asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import NamedTuple
from uuid import UUID

from asyncflow.integrations.flowsvr.service import TaskService
from asyncflow.integrations.flowsvr.together.asking import Asking

_MOST_KNOWN = 100_000  # of 100 bytes or so; of others all databases are asked


class Where(NamedTuple):
    """Tell which tasks each database has, and which may lie in one that is away; the others are nowhere."""

    of: dict[str, list[UUID]]
    in_doubt: set[UUID]
    away: dict[str, Exception]


class Places:
    """Know the databases of the tasks that were seen last, and find those of others; used on the event loop.

    A task stays where it was written, so what is known stays true.
    """

    def __init__(self, services: Mapping[str, TaskService], asking: Asking) -> None:
        self._services = services
        self._asking = asking
        self._known: OrderedDict[UUID, str] = OrderedDict()

    def note(self, ids: Iterable[UUID], name: str) -> None:
        """Know that these tasks lie there."""
        for task_id in ids:
            self._known[task_id] = name
            self._known.move_to_end(task_id)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def of(self, task_id: UUID) -> str | None:
        """Return where a task lies, if that is known."""
        return self._known.get(task_id)

    async def find(self, ids: Collection[UUID]) -> Where:
        """Find out where tasks lie: all databases are asked for those of which it is not known."""
        unknown = [one for one in ids if one not in self._known]
        away = await self._ask(unknown) if unknown else {}
        where = Where({}, set(), away)
        for task_id in ids:
            name = self._known.get(task_id)
            if name is not None:
                where.of.setdefault(name, []).append(task_id)
            elif away:
                where.in_doubt.add(task_id)
        return where

    async def _ask(self, ids: list[UUID]) -> dict[str, Exception]:
        answers = await self._asking.each(
            {name: its.databases.run(partial(its.view.states, ids=ids)) for name, its in self._services.items()}
        )
        for name, rows in answers.given.items():
            self.note(rows, name)
        return answers.away
