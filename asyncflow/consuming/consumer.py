"""What all consumers are: subscribers, and a loop that a broker's own consumer fills; its life, on whichever thread."""

from __future__ import annotations

import asyncio
import os
import threading
from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from asyncflow.callables import is_coroutine, parameters_of
from asyncflow.consuming.async_effects import AsyncEffects
from asyncflow.consuming.effects import Effects
from asyncflow.consuming.subscribers import LOOP, Subscribers
from asyncflow.consuming.subscription import Subscription
from asyncflow.errors import ForkedError, OptionError
from asyncflow.event_log import LoggedHooks
from asyncflow.events import ConsumerStarted, ConsumerStopped, Hook, StepFailed
from asyncflow.forks import leave_at_fork
from asyncflow.outbox import Inbox, Outbox
from asyncflow.outbox.arguments.signature import SESSION
from asyncflow.outbox.declarations.handler_type import function_of
from asyncflow.outbox.declarations.option_types import HandlerOptions
from asyncflow.outbox.task_function import Declare
from asyncflow.outbox.transaction.engine_loops import let_give_way, require_loop, running_loop
from asyncflow.outbox.transaction.target import require_transactional
from asyncflow.scheduler.connections.engine_check import require_connections_of_its_own
from asyncflow.scheduler.connections.inherited_pools import adopt
from asyncflow.scheduler.loops.aside import aside
from asyncflow.scheduler.loops.startable import Startable
from asyncflow.text import shown

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from typing_extensions import Unpack

PAUSE_SECONDS = 1.0  # after the broker or the database gave trouble


class BaseConsumer(Startable):
    """Let messages take effect once for each subscriber; a subclass has them come, one step of a loop at a time.

    ``_step`` and ``_leave`` are called on the thread of the loop alone, ``_make_own`` in each process.
    """

    def __init__(self, engine: Engine | AsyncEngine, outbox: Outbox, inbox: Inbox, hooks: Iterable[Hook]) -> None:
        self._engine: Any = engine
        self._is_async = type(engine).__name__ == "AsyncEngine"
        if not self._is_async and not isinstance(engine, Engine):
            raise OptionError(f"engine is {shown(engine)}; give an Engine or an AsyncEngine")
        self._outbox, self._inbox = outbox, inbox
        self.hooks = LoggedHooks(hooks)
        self.subscriptions: list[Subscription] = []
        super().__init__()
        self._make_own()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Be a consumer of its own in the child of a fork, or nothing, if the parent has begun with it."""
        self._keep_the_parents()
        self._is_copy = True
        self._make_own()

    def _make_own(self) -> None:
        """Make what belongs to one process: what tells of the loop, and what a subclass has of the broker."""
        self._stopping = threading.Event()
        self._effects: Effects | None = None  # of the loop that runs
        self._loop: asyncio.AbstractEventLoop | None = None  # that awaits ``run_async``
        self._thread: threading.Thread | None = None  # that takes the messages
        self._begin_life()

    @abstractmethod
    def _keep_the_parents(self) -> None:
        """Let nothing collect, in the child of a fork, what is the parent's."""

    @abstractmethod
    def _step(self, subscribers: Subscribers) -> None:
        """Take some messages, and deliver them; return soon where none come."""

    @abstractmethod
    def _leave(self) -> None:
        """Give back what was not delivered, and end the connection to the broker, if there is one."""

    def subscribe(
        self, task_type: str, *, topic: str | None = None, name: str | None = None, **options: Unpack[HandlerOptions]
    ) -> Declare:
        """Let the decorated function get the messages of a type: ``session``, and of the message what it names.

        ``topic`` is by default called as the type. ``name``, by default the function's, is that of the subscriber, in
        the inbox and as a task type; a type may have several subscribers. ``ctx`` is given as to a handler. Options are
        those of ``outbox.task``: ``max_retries``, ``retry_interval_seconds`` and so on.

        Raises OptionError, UnknownOptionError or DuplicateTaskTypeError.
        """

        def declare(handler: Any) -> Any:
            its_name = name or _name_of(function_of(handler))
            if callable(handler):  # what cannot be called is refused where handlers are
                self._require_fit(function_of(handler), its_name)
            given: Any = {**options, "transactional": True}
            task = self._outbox.task(its_name, **given)(handler)
            kind = self._outbox.handler_types[task.task_type]
            self.subscriptions.append(Subscription(kind, task_type, topic or task_type))
            return task

        return declare

    def run(self) -> None:
        """Consume on this thread until ``stop`` is called on another; raises ForkedError.

        And OptionError or NotTransactionalError for an engine whose connections others use, or that commits each
        statement.
        """
        if self._is_async:
            raise OptionError("the engine is an AsyncEngine: await consumer.run_async()")
        self._begin()
        self._consume()

    async def run_async(self) -> None:
        """Consume until ``stop`` is called, or this is cancelled; subscribers run on this loop. Raises ForkedError."""
        if not self._is_async:
            raise OptionError("the engine is no AsyncEngine: call consumer.run()")
        self._begin(asyncio.get_running_loop())
        await self._consume_async()

    def start(self) -> None:
        """Consume on a thread; a second call does nothing. Raises OptionError without subscribers, and ForkedError.

        Coroutines get an event loop of their own there: EventLoopError if another one uses the AsyncEngine.
        """
        if self._begin():
            run = (lambda: asyncio.run(self._consume_beside())) if self._is_async else self._consume
            threading.Thread(target=run, name="asyncflow-consumer", daemon=True).start()

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Take no more messages, finish the one in hand, tell the broker; return whether that ended in time (30 s).

        On the loop that awaits ``run_async`` it waits for nothing, for the message in hand needs that loop: then await
        the run. Nor does it wait where a subscriber or a hook calls it, where nothing was begun, or in the child of a
        fork for what is its parent's.
        """
        if self._is_parents():
            return True
        with self._lifecycle:
            self._end_soon()
            if not self._started:
                self._ended.set()
        is_on_loop = self._loop is not None and running_loop() is self._loop
        if is_on_loop or threading.current_thread() is self._thread:
            return self._ended.is_set()
        return self.wait(30.0 if timeout_seconds is None else timeout_seconds)

    def _require_fit(self, handler: Any, its_name: str) -> None:
        """Raise OptionError for a function where coroutines are called, or the reverse, and for one without session."""
        if is_coroutine(handler) is not self._is_async:
            raise OptionError(
                f"{its_name}() is a {'function' if self._is_async else 'coroutine'}; with an "
                f"{'AsyncEngine make it a coroutine' if self._is_async else 'Engine make it a function'}, or give "
                f"Consumer an {'Engine' if self._is_async else 'AsyncEngine, and await consumer.run_async()'}"
            )
        if SESSION not in parameters_of(its_name, handler):
            # Also where the outbox has a transaction= of its own, in which its handlers need none.
            raise OptionError(
                f"the subscriber {its_name}() has no parameter 'session'; give it one: its effect and the "
                f"memory of the message commit there together"
            )

    # -- the loop ----------------------------------------------------------------------------------------

    def _begin(self, loop: asyncio.AbstractEventLoop | None = None) -> bool:
        """Let this process be the one that consumes, ``loop`` if it is given; return whether it had not begun.

        Raises as ``start``.
        """
        if not self.subscriptions:
            raise OptionError("the consumer has no subscribers; decorate functions with @consumer.subscribe(...)")
        if self._is_parents():
            raise ForkedError(
                f"this consumer was started by process {self._used_by}, of which process {os.getpid()} is a fork; "
                f"make a consumer in the child, or start none before the fork"
            )
        engine = self._engine.sync_engine if self._is_async else self._engine
        require_connections_of_its_own(engine)
        require_transactional(engine)
        if self._is_async and not self._started:
            require_loop(engine.pool, loop, "consumer")
        with self._lifecycle:
            was_begun, self._started, self._used_by = self._started, True, os.getpid()
        adopt(engine)
        return not was_begun

    def _consume(self) -> None:
        self._run(Effects(self._engine, self._outbox, self._inbox))

    async def _consume_beside(self) -> None:
        """Consume on a loop that gives way where the application's own comes to use the engine."""
        let_give_way(asyncio.get_running_loop())
        await self._consume_async()

    async def _consume_async(self) -> None:
        self._loop = asyncio.get_running_loop()
        effects = AsyncEffects(self._engine, self._outbox, self._inbox, self._loop)
        work = aside(lambda: self._run(effects))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self._end_soon()
            await work
            raise

    def _end_soon(self) -> None:
        """Begin with nothing more, and wait for no silent database as the message in hand is finished."""
        self._stopping.set()
        if (effects := self._effects) is not None:
            effects.hasten()

    def _run(self, effects: Effects) -> None:
        self._effects = effects
        self._thread = threading.current_thread()
        subscribers = Subscribers(effects, self.subscriptions, self.hooks, self._pause_seconds)
        topics = tuple(sorted({one.topic for one in self.subscriptions}))
        self.hooks.emit(ConsumerStarted(topics, tuple(sorted(one.name for one in self.subscriptions))))
        try:
            while not self._stopping.is_set():
                try:
                    self._step(subscribers)
                except Exception as error:  # noqa: BLE001 - the broker may be there again after a pause
                    self._trouble(error)
        finally:
            try:
                self._leave()
                self.hooks.emit(ConsumerStopped(topics))
            finally:
                self._ended.set()

    def _trouble(self, error: Exception) -> None:
        seconds = self._pause_seconds()
        self.hooks.emit(StepFailed(LOOP, error, seconds))
        self._stopping.wait(seconds)

    def _pause_seconds(self) -> float:
        """Return how long to wait after trouble of the broker's or of the database's."""
        return PAUSE_SECONDS


def _name_of(handler: Any) -> str:
    """Return what a subscriber is called that was given no name; raises OptionError."""
    name = getattr(handler, "__name__", "<lambda>")
    if name == "<lambda>":
        raise OptionError(f"the subscriber {shown(handler)} has no name; give it one: subscribe(..., name='...')")
    return str(name)
