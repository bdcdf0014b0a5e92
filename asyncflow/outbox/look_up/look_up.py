"""Look-up: what the application reads of its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Engine, Table

from asyncflow.outbox.declarations.handler_type import HandlerTypes
from asyncflow.outbox.declarations.task_type import TaskType
from asyncflow.outbox.look_up.finder import Finder
from asyncflow.outbox.look_up.found_task import FoundTasks
from asyncflow.outbox.look_up.search import SearchOptions, TaskSearch
from asyncflow.outbox.options import field_names, refuse_unknown
from asyncflow.outbox.outcome.results import Results, TaskOutcome
from asyncflow.outbox.rolling.shelf import Shelf
from asyncflow.outbox.transaction.reading import reader_of
from asyncflow.outbox.transaction.target import awaited

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session
    from typing_extensions import Unpack

    from asyncflow.outbox.transaction.target import Target

    AsyncTarget = AsyncSession | async_scoped_session[Any]

_OPTIONS = field_names(TaskSearch)


class LookUp:
    """Read tasks, as a base of the outbox; has no state, any thread uses it."""

    def _read_from(self, shelf: Shelf, contexts: Table, handler_types: HandlerTypes) -> None:
        self._handlers = handler_types
        self._results = Results(shelf, contexts, handler_types)
        self._finder = Finder(shelf, contexts, self._results)

    def find(self, target: Target, **wanted: Unpack[SearchOptions]) -> FoundTasks:
        """Look tasks up; return a page of them, whose ``next`` is given as ``after`` for the following one.

        Options: ``key``, ``task_type`` (a name, a handler, or what declared it), ``status``, ``since`` and ``until``
        (which is excluded), ``newest_first`` (False), ``limit`` (100, at most 500), ``after``; or ``ids`` alone, at
        most 500, of which those are returned that are there.

        In the caller's transaction its own tasks are seen; outside one none is left open. With a key or ``since``,
        and without any filter, tasks come in the order of their enqueueing; by ``status`` and ``task_type`` alone as
        the index has them: by status, type, shard, and when they are due or were settled. With a key, times are the
        database's, else of the clock of who enqueued.

        A page reads a bounded number of rows, along an index. Where few of many are chosen it may hold fewer tasks
        than the limit, or none, and yet have a next one. What no index leads to is refused.

        Raises OptionError, UnknownOptionError, InvalidKeyError, InvalidTaskTypeError or UnknownTaskTypeError before
        anything is sent; WrongTargetError or CharacterSetError.
        """
        search = self._search(wanted)
        return self._finder.find(reader_of(target, "find"), search)

    async def find_async(self, session: AsyncTarget, **wanted: Unpack[SearchOptions]) -> FoundTasks:
        """Do what ``find`` does, in an AsyncSession."""
        search = self._search(wanted)
        return await awaited(session, lambda sync: self._finder.find(sync, search))

    def result(self, target: Target, task_id: UUID) -> TaskOutcome:
        """Read what became of a task: Pending, Done with what its handler returned, Failed or Gone.

        Types declared with ``keep_result=True`` keep what their handlers return, for as long as the row is kept.
        Raises WrongTargetError or OptionError.
        """
        return self._results.of(target, task_id)  # type: ignore[arg-type]

    async def result_async(self, session: AsyncTarget, task_id: UUID) -> TaskOutcome:
        """Do what ``result`` does, in an AsyncSession."""
        return await self._results.of_async(session, task_id)  # type: ignore[arg-type]

    def wait_result(self, engine: Engine, task_id: UUID, *, timeout_seconds: float = 60.0) -> TaskOutcome:
        """Wait, in a script, until a task is done, failed or gone; raises TimeoutError after ``timeout_seconds``.

        Looks at the row up to once a second, in transactions of its own; the enqueue has to be committed. A database
        that says nothing is given 4 to 10 seconds for a look, as long as the time-out is, and asked again until then.
        """
        return self._results.wait(engine, task_id, timeout_seconds)

    async def await_result(self, engine: AsyncEngine, task_id: UUID, *, timeout_seconds: float = 60.0) -> TaskOutcome:
        """Do what ``wait_result`` does, with an AsyncEngine."""
        return await self._results.wait_async(engine, task_id, timeout_seconds)

    def _search(self, wanted: Mapping[str, Any]) -> TaskSearch:
        refuse_unknown("find()", wanted, _OPTIONS)
        named = wanted.get("task_type")
        if callable(named) and not isinstance(named, TaskType):
            named = self._handlers.require(named)
        return TaskSearch(**({**wanted, "task_type": named.name} if isinstance(named, TaskType) else wanted))
