"""Task types whose tasks are handled: a function of the application does the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncflow.callables import is_coroutine, is_generator
from asyncflow.errors import InvalidArgumentsError, OptionError, UnknownTaskTypeError
from asyncflow.outbox.arguments.signature import Signature
from asyncflow.outbox.declarations.around import Around
from asyncflow.outbox.declarations.duplicates import duplicate
from asyncflow.outbox.declarations.task_type import TaskType, TaskTypes, require_limit
from asyncflow.outbox.options import NO_OPTION, require_flag, require_seconds, require_whole
from asyncflow.outbox.tables import TASK_TYPE_LENGTH
from asyncflow.outbox.transaction import engine_loops
from asyncflow.text import require_text, shown

if TYPE_CHECKING:
    from sqlalchemy import Connection

    Enclose = Callable[[], AbstractContextManager[Connection]]

MAX_CONCURRENCY = 1000
MAX_QUEUE_LENGTH = 60


class StandsForHandler:
    """Be what the application's code has in place of a handler."""

    handler: Callable[..., Any]


class Handling(NamedTuple):
    """Hold a handler, and what its annotations tell of its arguments."""

    handler: Callable[..., Any]
    signature: Signature


@dataclass(kw_only=True)
class HandlerType(TaskType):
    """Declare a task type whose tasks are handled by a function or coroutine; made once, by ``Outbox.task``.

    Without a handler it can be enqueued here and is worked elsewhere. Used as a decorator, it takes the handler.

    A ``limit`` above ``concurrency`` saves statements: short tasks are claimed by the hundred and wait in the process.
    One that kills the process makes them wait for its lease, and costs them no attempt the first time.
    """

    max_processing_time_seconds: float = 300.0  # an attempt that takes longer is given up and counts as failed
    concurrency: int = 10  # handlers of this type at work at once, in each process
    limit: int | None = None  # tasks of this type claimed at once, in each process; None: as many as concurrency
    interval_seconds: float = 0.0  # least time between two claims of this type, in each process
    transactional: bool = False  # the handler gets a Session, a coroutine an AsyncSession; its commit settles the task
    keep_result: bool = False  # what the handler returns is kept with the task: outbox.result(session, id)
    outcomes_to: str | None = None  # the message type whose messages tell what became of its tasks; None: the outbox's
    queue: str | None = None  # by which tasks go to workers elsewhere; None: they are done where the scheduler is
    handler: Callable[..., Any] | None = field(default=None, repr=False, metadata=NO_OPTION)
    signature: Signature | None = field(default=None, repr=False, compare=False, metadata=NO_OPTION)
    is_coroutine: bool = field(default=False, metadata=NO_OPTION)
    around: Around = field(default_factory=Around, repr=False, compare=False, metadata=NO_OPTION)
    enclose: Enclose | None = field(default=None, repr=False, compare=False, metadata=NO_OPTION)
    wrap: Callable[[str, Callable[..., Any]], Any] | None = field(
        default=None, repr=False, compare=False, metadata=NO_OPTION
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_seconds("max_processing_time_seconds", self.max_processing_time_seconds, 0.001)
        require_whole("concurrency", self.concurrency, 1, MAX_CONCURRENCY)
        require_limit(self.limit)
        require_seconds("interval_seconds", self.interval_seconds, 0)
        require_flag("transactional", self.transactional)
        require_flag("keep_result", self.keep_result)
        require_outcomes_to(self.outcomes_to)
        self._require_queue()
        if self.handler is not None:
            self(self.handler)

    def __call__(self, handler: Any) -> Any:
        """Let ``handler`` do this type's tasks; return what stands for it. Raises OptionError."""
        handler = function_of(handler)
        if not callable(handler):
            raise OptionError(f"the handler of {self.name!r} is {shown(handler)}; give a function or coroutine")
        if self.handler is not None and self.handler is not handler:
            raise duplicate(self.name, self.handler, handler)
        if isinstance(handler, type):
            raise OptionError(
                f"the handler of {self.name!r} is the class {handler.__qualname__}: to call it makes an instance, and "
                f"does no work; give a function or coroutine, or an instance that can be called"
            )
        if is_generator(handler):
            raise OptionError(
                f"the handler of {self.name!r} is a generator, whose body nobody would run; "
                f"give a function or a coroutine"
            )
        self.is_coroutine = is_coroutine(handler)
        self.around.require_fit(self.name, is_coroutine=self.is_coroutine)
        if self.is_coroutine:
            engine_loops.watch()
        self.signature = Signature(
            self.name,
            handler,
            transactional=self.transactional,
            is_enclosed=self._can_be_enclosed,
            keeps_result=self.keep_result,
        )
        self.handler = handler
        return handler if self.wrap is None else self.wrap(self.name, handler)

    def handling(self) -> Handling:
        """Return the handler with its signature; raises OptionError for a type that is worked elsewhere."""
        if self.handler is None or self.signature is None:
            raise OptionError(
                f"the task type {self.name!r} has no handler in this process; import the module that has it"
            )
        return Handling(self.handler, self.signature)

    def is_handled_by(self, handler: Any) -> bool:
        """Tell whether ``handler`` does this type's tasks."""
        return self.handler is not None and self.handler is function_of(handler)

    @property
    def is_enclosed(self) -> bool:
        """Tell whether the handler works in the application's own transaction, and is given no session."""
        return self.transactional and self.signature is not None and not self.signature.takes_session

    @property
    def _can_be_enclosed(self) -> bool:
        # A transaction of the application's belongs to a thread.
        return self.enclose is not None and not self.is_coroutine

    def _require_queue(self) -> None:
        if self.queue is None:
            return
        require_text("queue", self.queue, MAX_QUEUE_LENGTH, OptionError)
        if self.transactional:
            raise OptionError(
                f"transactional is True, and queue is {self.queue!r}: who works from a queue has no database to commit "
                f"in; leave one of them out"
            )

    @property
    def most_claimed(self) -> int:
        """Return how many tasks of this type a process may hold: those at work and those that wait for it."""
        return self.concurrency if self.limit is None else self.limit

    @property
    def lets_wait(self) -> bool:
        """Tell whether claimed tasks may wait in the process before they begin."""
        return self.most_claimed > self.concurrency

    def check(self, arguments: Any, given_later: frozenset[str] = frozenset()) -> Mapping[str, Any]:
        """Return the arguments as they are written; raise InvalidArgumentsError unless a task can carry them."""
        if not isinstance(arguments, dict) or not all(isinstance(name, str) for name in arguments):
            raise InvalidArgumentsError(f"arguments is {shown(arguments)}; give a dict of names to values")
        return arguments if self.signature is None else self.signature.check(arguments, given_later)


def require_outcomes_to(value: Any) -> None:
    """Raise OptionError unless it is the name of a message type, nothing for no type, or None."""
    if value not in (None, ""):
        require_text("outcomes_to", value, TASK_TYPE_LENGTH, OptionError)


def function_of(given: Any) -> Any:
    """Return the handler itself, where what stands for one is given."""
    return given.handler if isinstance(given, StandsForHandler) else given


Handled = Callable[..., Any] | HandlerType | str  # a handler, its type, or the type's name


class HandlerTypes(TaskTypes[HandlerType]):
    """Hold the declared handler types by name; the handler itself names its type, too."""

    def require(self, name: Any) -> HandlerType:
        """Return the type of that name, of that handler, or the type itself; raises UnknownTaskTypeError.

        A type may be one that is declared nowhere, but was registered while the application runs.
        """
        if isinstance(name, HandlerType):
            return name
        if isinstance(name, str) or not callable(name):
            return super().require(name)
        for known in list(dict.values(self)):  # at each enqueue: without the names
            if known.is_handled_by(name):
                return known
        text = getattr(name, "__qualname__", shown(name))
        raise UnknownTaskTypeError(f"{text} is no handler of this outbox; decorate it with @outbox.task()")
