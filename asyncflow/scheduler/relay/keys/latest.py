"""The latest of each key of a coalescing type: it alone is sent of those that wait in a round."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Table

from asyncflow.outbox import Task
from asyncflow.scheduler.configuration.types_here import TypesHere
from asyncflow.scheduler.publishing.order import Key
from asyncflow.scheduler.relay.keys import queries
from asyncflow.scheduler.relay.keys.parking_change import KeyPage
from asyncflow.scheduler.relay.round import NotSent, place_of


class Latest:
    """Sort out what is not to be sent any more; lives as long as its relay, used by its thread alone.

    Only what was read is known. A later row that waits beyond a round holds nothing back: of a key that changes all the
    time each round sends one.
    """

    def __init__(self, tasks: Table, types: TypesHere) -> None:
        self._tasks = tasks
        self._types = types

    def of_keys(self, tasks: list[Task], not_sent: NotSent) -> list[Task]:
        """Return the tasks without those behind which a later one of their key stands; these are superseded."""
        if not self._types.coalescing:
            return tasks
        last = {place_of(task): task.raw_id for task in tasks if self._is_concerned(task)}
        kept = list[Task]()
        for task in tasks:
            if last.get(place_of(task), task.raw_id) == task.raw_id:
                kept.append(task)
            else:
                not_sent.supersede(task)
        return kept

    def in_round(
        self, connection: Connection, firsts: list[Task], pages: dict[Key, KeyPage], not_sent: NotSent
    ) -> tuple[list[Task], dict[Key, KeyPage]]:
        """Return what is to be sent of the tasks of pages, and of those that were read by their keys."""
        if not self._types.coalescing:
            return firsts, pages
        pages = {key: page._replace(tasks=self.of_keys(page.tasks, not_sent)) for key, page in pages.items()}
        tasks = [*firsts, *(task for page in pages.values() for task in page.tasks)]
        gone = self._overtaken(connection, {task.raw_id: task for task in tasks if self._is_concerned(task)})
        if not gone:
            return firsts, pages
        not_sent.overtake(list(gone.values()))
        return _without(firsts, gone), {
            key: page._replace(tasks=_without(page.tasks, gone)) for key, page in pages.items()
        }

    def _overtaken(self, connection: Connection, tasks: Mapping[object, Task]) -> dict[object, Task]:
        """Return those of whose keys a later one was sent, by raw id."""
        if not tasks:
            return {}
        rows = connection.execute(queries.overtaken(self._tasks), {"ids": list(tasks)}).scalars()
        return {raw_id: tasks[raw_id] for raw_id in rows}

    def _is_concerned(self, task: Task) -> bool:
        return task.task_type in self._types.coalescing and task.key is not None


def _without(tasks: list[Task], gone: Mapping[object, Task]) -> list[Task]:
    return [task for task in tasks if task.raw_id not in gone]
