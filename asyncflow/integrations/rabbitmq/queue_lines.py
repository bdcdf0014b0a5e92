"""The lines of a queue to RabbitMQ: each a connection of its own, which is made by the first question."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from asyncflow.errors import UnreachableError
from asyncflow.integrations.rabbitmq.outcomes import describe_error
from asyncflow.integrations.rabbitmq.servers import place_of
from asyncflow.scheduler.task_queue import Arrival, Handed, Parcel, QueueNames

T = TypeVar("T")
_PART_OF_LEASE = 0.9  # for which a letter is kept: what comes out has some of its claim left
_KEPT = 2  # AMQP's delivery mode of what outlives a restart
_PAUSES = (0.005, 0.05)  # between two looks into queues that were empty; doubles


class RabbitLine:
    """Ask the broker by one connection, on one thread at a time; another is made after each failure.

    Nobody answers its heartbeats while it is not used, so one that was lost meanwhile is made anew without a word.
    """

    def __init__(self, library: ModuleType, parameters: list[Any], names: QueueNames) -> None:
        self._library = library
        self._parameters = parameters
        self._names = names
        self._connection: Any = None
        self._channel: Any = None
        self._number = 0  # of the connection
        self._declared: set[str] = set()

    def close(self) -> None:
        """End the connection; what is not acknowledged is the queue's again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._library.exceptions.AMQPError, OSError, ValueError):
                connection.close()

    def _ask(self, work: Callable[[Any], T]) -> T:
        """Return what ``work`` does with the channel; raises UnreachableError for what the broker has against it."""
        try:
            return work(self._living())
        except (self._library.exceptions.AMQPError, OSError) as error:
            self.close()
            raise UnreachableError(f"RabbitMQ at {place_of(self._parameters)}: {describe_error(error)}") from error

    def _living(self) -> Any:
        if self._connection is not None:
            try:
                self._connection.process_data_events(time_limit=0)
            except (self._library.exceptions.AMQPError, OSError):
                self.close()
        if self._connection is None or not self._channel.is_open:
            self.close()
            self._connection = self._library.BlockingConnection(self._parameters)
            self._channel = self._opened()
            self._number += 1
            self._declared = set()
        return self._channel

    def _opened(self) -> Any:
        return self._connection.channel()

    def _declare(self, queues: Iterable[str]) -> None:
        """Make queues that are not there; who used this connection before knows that they are."""
        for queue in queues:
            if queue not in self._declared:
                self._channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "classic"})
                self._declared.add(queue)

    def _look_until(self, look: Callable[[], Sequence[T]], seconds: float) -> Sequence[T]:
        """Look into queues until something is there, or the time is over."""
        deadline, pause = monotonic() + seconds, _PAUSES[0]
        while not (found := look()) and monotonic() < deadline:
            self._connection.sleep(min(pause, max(0.0, deadline - monotonic())))
            pause = min(2 * pause, _PAUSES[1])
        return found


class RabbitWriting(RabbitLine):
    """Put messages into queues, all of one call or none: the broker has them on its disk when it has committed."""

    def _opened(self) -> Any:
        channel = super()._opened()
        channel.tx_select()
        return channel

    def _put(self, messages: Sequence[tuple[str, bytes, str | None]]) -> None:
        """Put bodies into queues, where they are kept for so many milliseconds, or for ever."""

        def work(channel: Any) -> None:
            self._declared.clear()  # a queue may have been deleted, and to it a message is confirmed that is nowhere
            self._declare({queue for queue, _, _ in messages})
            for queue, body, kept in messages:
                properties = self._library.BasicProperties(delivery_mode=_KEPT, expiration=kept)
                channel.basic_publish("", queue, body, properties)
            channel.tx_commit()

        self._ask(work)


class RabbitSending(RabbitWriting):
    """Send letters, each kept for most of its claim; used by one thread."""

    def require_living(self) -> None:
        """Ask for a sign of life."""
        self._ask(lambda channel: channel.tx_commit())

    def send(self, parcels: Sequence[Parcel]) -> Sequence[str | None]:
        """Send them; the broker takes all that an outbox has."""
        if parcels:
            self._put([(self._names.letters(one.task_type), one.body, _kept(one.seconds)) for one in parcels])
        return [None] * len(parcels)


class RabbitTelling(RabbitWriting):
    """Tell notes; used by one thread at a time."""

    def tell(self, notes: Sequence[bytes]) -> None:
        """Have the broker keep the notes, in order."""
        if notes:
            self._put([(self._names.notes, note, None) for note in notes])


class RabbitTaking(RabbitLine):
    """Take letters, which are gone from their queues then; used by one thread."""

    def take(self, rooms: Mapping[str, int], seconds: float) -> Sequence[Arrival]:
        """Return letters of each type up to its number. How long they lay is not known: as long as they may, then."""
        queues = {self._names.letters(task_type): room for task_type, room in rooms.items()}

        def look(channel: Any) -> list[Arrival]:
            return [arrival for queue, room in queues.items() for arrival in _taken(channel, queue, room)]

        def work(channel: Any) -> Sequence[Arrival]:
            self._declare(queues)
            return self._look_until(lambda: look(channel), seconds)

        return self._ask(work)


class NoteTag(NamedTuple):
    """Name a note that came by one of the line's connections."""

    connection: int
    tag: int


class RabbitCollecting(RabbitLine):
    """Collect notes; used by one thread."""

    def collect(self, most: int, seconds: float) -> Sequence[Handed]:
        """Return notes; what is not acknowledged by this connection comes again by the next one."""

        def look(channel: Any) -> list[Handed]:
            found: list[Handed] = []
            while len(found) < most:
                method, _, body = channel.basic_get(self._names.notes)
                if method is None:
                    break
                found.append(Handed(NoteTag(self._number, method.delivery_tag), body))
            return found

        def work(channel: Any) -> Sequence[Handed]:
            self._declare([self._names.notes])
            return self._look_until(lambda: look(channel), seconds)

        return self._ask(work)

    def acknowledge(self, handles: Collection[Hashable]) -> None:
        """Let the broker forget notes; those that came by a connection before come again."""

        def work(channel: Any) -> None:
            for handle in handles:
                if isinstance(handle, NoteTag) and handle.connection == self._number:
                    channel.basic_ack(handle.tag)

        self._ask(work)


def _taken(channel: Any, queue: str, room: int) -> list[Arrival]:
    found: list[Arrival] = []
    while len(found) < room:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            break
        found.append(Arrival(body, int(properties.expiration or 0) / 1000))
    return found


def _kept(seconds: float) -> str:
    return str(max(1, int(seconds * _PART_OF_LEASE * 1000)))
