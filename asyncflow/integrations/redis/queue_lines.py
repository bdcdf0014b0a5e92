"""The lines of a queue to one Redis: each a connection of its own, which is made by the first question."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from asyncflow.errors import UnreachableError
from asyncflow.integrations.redis.consuming.group import COMMANDS, Entry, Group, entries_of, entries_read
from asyncflow.integrations.redis.outcomes import describe
from asyncflow.integrations.redis.server import RedisServer
from asyncflow.scheduler.task_queue import Arrival, Handed, Parcel

T = TypeVar("T")
WORKERS, SCHEDULERS = "workers", "schedulers"  # the groups
BODY = b"body"
_AT_ONCE = 500  # commands sent before an answer is read
_DEAD_AFTER_SECONDS = 15.0  # a collector that has not written what it has
_LOOK_SECONDS = 2.0  # between two looks for what the dead have left
_BEGIN = "0-0"


class Streams(NamedTuple):
    """Name the streams of a queue; all lie in one slot of a cluster."""

    namespace: str
    queue: str

    @property
    def notes(self) -> str:
        """Return the stream of what workers tell."""
        return f"{self.namespace}:{{{self.queue}}}:notes"

    def letters(self, task_type: str) -> str:
        """Return the stream of a type's tasks."""
        return f"{self.namespace}:{{{self.queue}}}:tasks:{task_type}"


class RedisLine:
    """Ask one Redis by one connection, on one thread at a time; another is made after each failure."""

    def __init__(self, library: ModuleType, server: RedisServer, streams: Streams) -> None:
        self._library = library
        self._server = server
        self._streams = streams
        self._client: Any = None

    def close(self) -> None:
        """Disconnect."""
        self._disconnect()

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.connection_pool.disconnect()

    def _ask(self, work: Callable[[Any], T]) -> T:
        """Return what ``work`` does with the client; raises UnreachableError for whatever Redis has against it."""
        try:
            if self._client is None:
                self._client = self._server.client(connections=1)
                for name in COMMANDS:  # redis-py's own reading differs by version and protocol
                    self._client.set_response_callback(name, _as_it_came)
            return work(self._client)
        except (self._library.RedisError, OSError) as error:
            self._disconnect()  # an answer that comes late must not be read as that to another question
            raise UnreachableError(f"Redis at {self._server.place}: {describe(error)}") from error

    def _command(self, *command: Any) -> Any:
        return self._ask(lambda client: client.execute_command(*command))

    def _commands(self, commands: Sequence[Sequence[Any]], *, raises: bool = True) -> list[Any]:
        """Ask all at once, in order; return the answers, errors among them unless it ``raises``."""

        def work(client: Any) -> list[Any]:
            with client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                answers: list[Any] = pipeline.execute(raise_on_error=raises)
                return answers

        return self._ask(work)


class RedisSending(RedisLine):
    """Add letters to the streams of their types, and cut off there what is of no use any more; used by one thread."""

    def __init__(self, library: ModuleType, server: RedisServer, streams: Streams) -> None:
        super().__init__(library, server, streams)
        self._useless_before = 0  # in milliseconds of the server's own clock
        self._longest_seconds = 0.0

    def require_living(self) -> None:
        """Ask for a sign of life."""
        self._command("PING")

    def send(self, parcels: Sequence[Parcel]) -> Sequence[str | None]:
        """Send them; Redis takes all that an outbox has."""
        self._longest_seconds = max([self._longest_seconds, *(parcel.seconds for parcel in parcels)])
        for first in range(0, len(parcels), _AT_ONCE):
            commands = [self._added(parcel) for parcel in parcels[first : first + _AT_ONCE]]
            *_, now = self._commands([*commands, ("TIME",)])
            self._useless_before = int((_seconds(now) - self._longest_seconds) * 1000)
        return [None] * len(parcels)

    def _added(self, parcel: Parcel) -> list[Any]:
        cut = ["MINID", "~", self._useless_before]
        return ["XADD", self._streams.letters(parcel.task_type), *cut, "*", BODY, parcel.body]


class RedisTaking(RedisLine):
    """Take letters, which are gone from their streams then; used by one thread."""

    def take(self, rooms: Mapping[str, int], seconds: float) -> Sequence[Arrival]:
        """Return letters of each type up to its number; what lies there already before what comes."""
        wanted = {self._streams.letters(task_type): room for task_type, room in rooms.items()}
        milliseconds = max(1, int(seconds * 1000))  # 0 is for ever
        entries: list[Entry] = []
        if len(wanted) > 1:  # of each as many as it has room for, which one command cannot say
            entries = self._read(wanted, [_reading([stream], room) for stream, room in wanted.items()])
        if not entries:
            least = min(wanted.values())
            entries = self._read(wanted, [_reading(list(wanted), least, ("BLOCK", milliseconds))])
        return self._taken(entries)

    def _read(self, streams: Collection[str], commands: Sequence[list[Any]]) -> list[Entry]:
        """Read, and make the groups that are not there; what one command has read is gone, whatever another met."""
        answers = self._commands(commands, raises=False)
        errors = [answer for answer in answers if isinstance(answer, Exception)]
        entries = [entry for answer in answers if answer not in errors for entry in entries_read(answer)]
        if any("NOGROUP" in str(error) for error in errors):
            self._make_groups(streams)
        elif errors and not entries:
            raise UnreachableError(f"Redis at {self._server.place}: {describe(errors[0])}") from errors[0]
        return entries

    def _taken(self, entries: Sequence[Entry]) -> list[Arrival]:
        if not entries:
            return []
        ids: dict[str, list[str]] = {}
        for entry in entries:
            ids.setdefault(entry.stream, []).append(entry.id)
        *_, now = self._commands([*(["XDEL", stream, *some] for stream, some in ids.items()), ("TIME",)])
        return [
            Arrival(entry.fields[BODY], max(0.0, _seconds(now) - _moment_of(entry)))
            for entry in entries
            if entry.fields is not None and BODY in entry.fields
        ]

    def _make_groups(self, streams: Collection[str]) -> None:
        for stream in streams:
            _make_group(self._command, Group(WORKERS, "worker", 0, creates_streams=True), stream)


class RedisTelling(RedisLine):
    """Add notes to their stream; used by one thread at a time."""

    def tell(self, notes: Sequence[bytes]) -> None:
        """Have Redis keep the notes, in order."""
        for first in range(0, len(notes), _AT_ONCE):
            some = notes[first : first + _AT_ONCE]
            self._commands([("XADD", self._streams.notes, "*", BODY, note) for note in some])


class RedisCollecting(RedisLine):
    """Read notes as one member of the schedulers' group; used by one thread."""

    def __init__(self, library: ModuleType, server: RedisServer, streams: Streams, member: str) -> None:
        super().__init__(library, server, streams)
        self._group = Group(SCHEDULERS, member, _DEAD_AFTER_SECONDS, creates_streams=True)
        self._again: str | None = None  # where to read on in what this member held when its connection was lost
        self._is_joined = False
        self._cursor = _BEGIN
        self._look_at = 0.0

    def collect(self, most: int, seconds: float) -> Sequence[Handed]:
        """Return what this member held, then what dead ones have left, then what comes."""
        try:
            return self._collect(most, seconds)
        except UnreachableError:
            self._is_joined, self._again = False, _BEGIN
            raise

    def acknowledge(self, handles: Collection[Hashable]) -> None:
        """Let Redis forget notes."""
        ids = [str(handle) for handle in handles]
        for first in range(0, len(ids), _AT_ONCE):
            some = ids[first : first + _AT_ONCE]
            notes = self._streams.notes
            self._commands([["XACK", notes, SCHEDULERS, *some], ["XDEL", notes, *some]])

    def close(self) -> None:
        """Leave the group, if nothing is held that others are to find there, and disconnect."""
        try:
            if self._is_joined and not self._command(*self._group.held(self._streams.notes)):
                self._command(*self._group.leave(self._streams.notes))
        except UnreachableError:
            pass  # an empty member is left there
        self._disconnect()

    def _collect(self, most: int, seconds: float) -> Sequence[Handed]:
        notes = self._streams.notes
        if not self._is_joined:
            _make_group(self._command, self._group, notes)
            self._is_joined = True
        entries = self._held_before(most) or self._of_the_dead(most)
        if not entries:
            milliseconds = max(1, int(seconds * 1000))
            entries = entries_read(self._command(*self._group.read([notes], most, milliseconds)))
        empty = [entry.id for entry in entries if entry.fields is None or BODY not in entry.fields]
        if empty:
            self.acknowledge(empty)
        return [Handed(one.id, one.fields[BODY]) for one in entries if one.fields is not None and BODY in one.fields]

    def _held_before(self, most: int) -> list[Entry]:
        if self._again is None:
            return []
        entries = entries_read(self._command(*self._group.read_again(self._streams.notes, self._again, most)))
        self._again = entries[-1].id if entries else None
        return entries

    def _of_the_dead(self, most: int) -> list[Entry]:
        if time.monotonic() < self._look_at:
            return []
        answer = self._command(*self._group.take_over(self._streams.notes, self._cursor, most))
        self._cursor = answer[0].decode()
        if self._cursor == _BEGIN:
            self._look_at = time.monotonic() + _LOOK_SECONDS
        return entries_of(self._streams.notes, answer[1])


def _make_group(command: Callable[..., Any], group: Group, stream: str) -> None:
    try:
        command(*group.create(stream))
    except UnreachableError as error:
        if "BUSYGROUP" not in str(error):  # the group is there
            raise


def _reading(streams: Sequence[str], most: int, wait: Sequence[Any] = ()) -> list[Any]:
    """Return what reads up to so many entries of each stream, of which the group remembers nothing then."""
    which = ["GROUP", WORKERS, "worker", "COUNT", most, *wait, "NOACK"]
    return ["XREADGROUP", *which, "STREAMS", *streams, *[">"] * len(streams)]


def _moment_of(entry: Entry) -> float:
    return int(entry.id.partition("-")[0]) / 1000


def _seconds(told: tuple[int, int]) -> float:
    return told[0] + told[1] / 1e6


def _as_it_came(answer: Any, **_: object) -> Any:
    return answer
