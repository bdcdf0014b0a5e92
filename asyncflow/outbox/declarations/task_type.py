"""Task types: the unit of configuration and of isolation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

from asyncflow.errors import InvalidTaskTypeError, OptionError, UnknownTaskTypeError, nearest
from asyncflow.outbox.declarations.capture import RELAYS_WORK, not_captured, require_capturable
from asyncflow.outbox.declarations.cloud_events import CloudEvents, require_events
from asyncflow.outbox.declarations.duplicates import duplicate
from asyncflow.outbox.declarations.encrypting import Encrypting, require_encrypting
from asyncflow.outbox.declarations.retry import RetryPolicy
from asyncflow.outbox.options import NO_OPTION, is_number, require_flag, require_number, require_seconds, require_whole
from asyncflow.outbox.tables import TASK_TYPE_LENGTH
from asyncflow.text import require_text, shown

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_keys, dict_values

    from sqlalchemy.orm import Session

    from asyncflow.outbox.task import Task

    Builder = Callable[[Session, Sequence[Task]], Iterable[Any]]

MAX_RETRIES = 2**31 - 1  # the column's bound
MAX_LIMIT = 10_000
WhenExhausted = Literal["block", "skip"]
_LEAST_RATE, _MOST_RATE = 0.001, 1e9
# What the strictest broker takes. Its other rules only its publisher knows, which a process that writes does not have.
_TOPIC_LENGTH = 249

BuilderT = TypeVar("BuilderT", bound="Builder")


@dataclass(kw_only=True)
class TaskType:
    """Declare what every kind of task type has: a name and a retry policy."""

    name: str  # of the task type, up to 100 characters
    max_retries: int = 10  # attempts after the first before the task is FAILED
    retry_interval_seconds: float = 1.0  # before the first retry; grows with each
    max_retry_interval_seconds: float = 10.0  # where the growth ends
    retry_factor: float = 2.0  # of the growth: 2 doubles, 1 keeps the interval fixed
    retry_jitter: float = 0.0  # the part of an interval that chance may take away, from 0 to 1
    enabled: bool = True  # False: its tasks wait, and may still be enqueued
    encryption: Encrypting | None = None  # of payloads: off, at_rest or, of messages, end_to_end; None: the outbox's
    configured_max_retries: int | None = field(  # set while running; goes before the row's
        default=None, repr=False, metadata=NO_OPTION
    )

    def __post_init__(self) -> None:
        self.name = require_text("task_type", self.name, TASK_TYPE_LENGTH, InvalidTaskTypeError)
        require_whole("max_retries", self.max_retries, 0, MAX_RETRIES)
        require_seconds("retry_interval_seconds", self.retry_interval_seconds, 0)
        require_seconds("max_retry_interval_seconds", self.max_retry_interval_seconds, self.retry_interval_seconds)
        require_number("retry_factor", self.retry_factor, 1, 100)
        require_number("retry_jitter", self.retry_jitter, 0, 1)
        require_flag("enabled", self.enabled)
        require_encrypting(self.encryption, travels=isinstance(self, MessageType))

    @property
    def retry_policy(self) -> RetryPolicy:
        """Return how long a failed task waits."""
        return RetryPolicy(
            interval_seconds=self.retry_interval_seconds,
            max_interval_seconds=self.max_retry_interval_seconds,
            factor=self.retry_factor,
            jitter=self.retry_jitter,
        )

    def retry_delay(self, retry_count: int) -> float:
        """Return the seconds to wait after failure number ``retry_count`` (1 for the first)."""
        return self.retry_policy.delay(retry_count)

    def most_retries(self, of_row: int) -> int:
        """Return how many retries a task has: those written at its enqueue, unless the configuration tells others."""
        return of_row if self.configured_max_retries is None else self.configured_max_retries


@dataclass(kw_only=True)
class MessageType(TaskType):
    """Declare a task type whose tasks are published; made once, by ``Outbox.message``.

    Used as a decorator, it takes the function that builds the payloads when they are sent.
    """

    destination: str  # the name of the publisher, as given to the scheduler
    topic: str  # where the broker puts it
    rate_limit_per_second: float | None = None  # messages sent by all instances together; None: no limit
    ordered: bool = False  # one key's messages arrive in the order of their enqueueing
    when_exhausted: WhenExhausted = "block"  # ordered: after max_retries a key waits for a person, or its next goes on
    coalesce: bool = False  # ordered: of the messages of a key that wait, the latest alone is sent
    limit: int | None = None  # messages of this type in one round of an instance; None: as many as there is room for
    cloudevents: CloudEvents | None = None  # how a message travels as an event; None: as it is
    captured: bool = False  # True: change data capture reads its rows, and no relay takes them
    builder: Builder | None = field(default=None, repr=False, metadata=NO_OPTION)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.destination = require_text("destination", self.destination, TASK_TYPE_LENGTH, OptionError)
        self.topic = require_text("topic", self.topic, _TOPIC_LENGTH, OptionError)
        _require_rate("rate_limit_per_second", self.rate_limit_per_second)
        require_limit(self.limit)
        require_events(self.cloudevents)
        require_flag("ordered", self.ordered)
        if self.when_exhausted not in get_args(WhenExhausted):
            raise OptionError(f"when_exhausted is {shown(self.when_exhausted)}; give 'block' or 'skip'")
        self._require_coalescing()
        require_flag("captured", self.captured)
        if self.captured:
            require_capturable(self.name, self.topic, self._of_relays())

    def _require_coalescing(self) -> None:
        """Raise OptionError where the latest message of a key could not be told, or would wait for an earlier one."""
        require_flag("coalesce", self.coalesce)
        if self.coalesce and not self.ordered:
            raise OptionError(
                "coalesce is True and ordered is False; add ordered=True, which tells the latest of a key"
            )
        if self.coalesce and self.when_exhausted == "block":
            raise OptionError(
                "coalesce is True and when_exhausted is 'block', so the latest would wait for one that has failed; "
                "add when_exhausted='skip'"
            )

    def __call__(self, builder: BuilderT) -> BuilderT:
        """Build this type's payloads with ``builder(session, tasks)``, one payload for each task, in order.

        None for a task says that its business row is gone: the task fails. An Exception instance fails that
        task's attempt. If the builder raises, it is asked again for each task alone.
        """
        if not callable(builder):
            raise OptionError(f"the builder of {self.name!r} is {builder!r}; give a function (session, tasks)")
        if self.captured:
            raise not_captured(self.name, "the builder", builder, "publish the payload itself")
        self.builder = builder
        return builder

    def _of_relays(self) -> dict[str, Any]:
        """Return the options that ask for a relay's work, with what was given."""
        usual = {one.name: one.default for one in fields(self)}
        given = {name: getattr(self, name) for name in RELAYS_WORK}
        return {name: value for name, value in given.items() if value != usual[name]}


def require_limit(value: Any) -> None:
    """Raise OptionError unless ``value`` is a number of tasks taken at once, or None."""
    if value is not None:
        require_whole("limit", value, 1, MAX_LIMIT)


def _require_rate(name: str, value: Any) -> None:
    if value is not None and not (is_number(value) and _LEAST_RATE <= value <= _MOST_RATE):
        raise OptionError(f"{name} is {shown(value)}; give {_LEAST_RATE:g} to {_MOST_RATE:g} a second, or None")


TypeT = TypeVar("TypeT", bound=TaskType)


class TaskTypes(dict[str, TypeT], Generic[TypeT]):
    """Hold the declared task types of one kind by name.

    ``door`` is the method by which tasks of this kind are written and ``declaration`` the one by which their types
    are declared, for the texts of errors. Whoever goes through them goes through those of now: a module with further
    declarations may be imported on another thread meanwhile.
    """

    def __init__(self, door: str, declaration: str) -> None:
        super().__init__()
        self.door = door
        self._declaration = declaration
        self._others: TaskTypes[Any] | None = None

    def share_names_with(self, others: TaskTypes[Any]) -> None:
        """Let one name be one type, here or among the ``others``."""
        self._others, others._others = others, self

    def declare(self, task_type: TypeT) -> TypeT:
        """Add a type; a name can be declared once."""
        known: TaskType | None = None if self._others is None else self._others.get(task_type.name)
        if known is None:
            known = self.setdefault(task_type.name, task_type)
        if known is not task_type:
            raise duplicate(task_type.name, getattr(known, "handler", None), getattr(task_type, "handler", None))
        return task_type

    def __iter__(self) -> Iterator[str]:
        return iter(list(super().keys()))  # a view, which is copied in one step: an iterator would be made in another

    def keys(self) -> dict_keys[str, TypeT]:
        """Return the names of now."""
        return self._of_now().keys()

    def values(self) -> dict_values[str, TypeT]:
        """Return the types of now."""
        return self._of_now().values()

    def items(self) -> dict_items[str, TypeT]:
        """Return both, of now."""
        return self._of_now().items()

    def _of_now(self) -> dict[str, TypeT]:
        return {name: self[name] for name in self}

    def require(self, name: Any) -> TypeT:
        """Return the declared type, or tell the nearest name."""
        try:
            return self[name]
        except (KeyError, TypeError):
            raise self._unknown(name) from None

    def _unknown(self, name: Any) -> Exception:
        require_text("task_type", name, TASK_TYPE_LENGTH, InvalidTaskTypeError)
        if self._others is not None and name in self._others:
            return UnknownTaskTypeError(f"the task type {name!r} is not for {self.door}; use {self._others.door}")
        return UnknownTaskTypeError(
            f"the task type {name!r} is not declared{nearest(name, self)}; "
            f"declare it beside the outbox: {self._declaration}({name!r})"
        )
