"""A consumer's connections to Redis: one to read by, and one by which it tells that it lives."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from types import ModuleType
from typing import Any

from asyncflow.consuming.delivered import Delivered
from asyncflow.errors import UnreachableError
from asyncflow.integrations.redis.consuming.group import COMMANDS, Entry, Group, GroupCommand, entries_of, entries_read
from asyncflow.integrations.redis.consuming.in_hand import InHand
from asyncflow.integrations.redis.entries import HEADER, KEY, VALUE
from asyncflow.integrations.redis.outcomes import describe

_LOOK_SECONDS = 1.0  # for entries of the dead, and for what was given back
_SIGNS = 3  # of life, within the time after which one is dead
_BEGIN = "0-0"
_TAKEN_OVER_AT_ONCE = 100


class RedisClient:
    """Be one member of a group; used by the consumer's thread, but for its signs of life, which have their own."""

    def __init__(self, library: ModuleType, client: Any, group: Group, streams: Mapping[str, str]) -> None:
        """Make the group where there is none; raise UnreachableError. ``streams`` tells the topic of each."""
        self._library = library
        self._client = client
        self._group = group
        self._streams = streams
        self._again = dict.fromkeys(streams, _BEGIN)  # where to read on in what this member held before
        self._cursors = dict.fromkeys(streams, _BEGIN)
        self._look_at = 0.0
        self._in_hand = InHand()
        self._is_closing = threading.Event()
        self._fault: UnreachableError | None = None  # of the last sign of life
        for name in COMMANDS:  # redis-py's own reading differs by version and protocol
            client.set_response_callback(name, _as_it_came)
        try:
            for stream in streams:
                self._create(stream)
        except UnreachableError:
            client.connection_pool.disconnect()
            raise
        self._signs = threading.Thread(target=self._give_signs, name="asyncflow-redis-consumer", daemon=True)
        self._signs.start()

    def take(self, most: int, seconds: float) -> Sequence[Delivered]:
        """Return some messages, none if none come in time; raises UnreachableError."""
        found = self._held_before(most) or self._of_the_dead(most)
        if not found:
            share = max(1, most // len(self._streams))
            milliseconds = max(1, int(seconds * 1000))  # 0 is for ever
            found = entries_read(self._ask(self._group.read(self._streams, share, milliseconds)))
        deliveries = []
        for entry in found:
            if entry.fields is None:
                self._ask(self._group.acknowledge(entry.stream, entry.id))
            elif self._in_hand.add(entry.stream, entry.id):
                deliveries.append(self._delivery(entry, entry.fields))
        return deliveries

    def acknowledge(self, delivery: Delivered) -> None:
        """Let the group forget a message; raises UnreachableError."""
        stream, id_ = delivery.handle
        self._ask(self._group.acknowledge(stream, id_))
        self._in_hand.remove(stream, id_)

    def require_living(self) -> None:
        """Raise UnreachableError where the last sign of life did not arrive."""
        if self._fault is not None:
            raise UnreachableError(str(self._fault)) from self._fault

    def close(self, left: Sequence[Delivered]) -> None:
        """Let others take what is left, leave the group, and end the connections; raises UnreachableError."""
        self._is_closing.set()
        self._signs.join()
        try:
            for stream, ids in self._in_hand.by_stream():
                self._ask(self._group.give_back(stream, ids))
            for stream in self._streams:
                if not self._ask(self._group.held(stream)):
                    self._ask(self._group.leave(stream))
        finally:
            self._client.connection_pool.disconnect()

    # -- where messages come from --------------------------------------------------------------------------

    def _held_before(self, most: int) -> list[Entry]:
        """Return entries that this member held when its last connection was lost."""
        for stream, after in list(self._again.items()):
            found = entries_read(self._ask(self._group.read_again(stream, after, most)))
            if found:
                self._again[stream] = found[-1].id
                return found
            del self._again[stream]
        return []

    def _of_the_dead(self, most: int) -> list[Entry]:
        if monotonic() < self._look_at:
            return []
        found: list[Entry] = []
        for stream, cursor in self._cursors.items():
            count = min(_TAKEN_OVER_AT_ONCE, most - len(found))
            if count > 0:
                following, entries, *_ = self._ask(self._group.take_over(stream, cursor, count))
                self._cursors[stream] = following.decode()
                found += entries_of(stream, entries)
                if None in entries:  # Redis 6.2 tells so of entries that were deleted, which are this member's now
                    self._again[stream] = _BEGIN
        if not found:
            self._look_at = monotonic() + _LOOK_SECONDS
        return found

    def _delivery(self, entry: Entry, fields: Mapping[bytes, bytes]) -> Delivered:
        topic = self._streams[entry.stream]
        within = f"{entry.stream[len(topic) + 1 :]}/{entry.id}".lstrip("/")
        begin = HEADER.encode()
        headers = {
            name[len(begin) :].decode(errors="backslashreplace"): value
            for name, value in fields.items()
            if name.startswith(begin)
        }
        handle = (entry.stream, entry.id)
        return Delivered(topic, within, fields.get(KEY), fields.get(VALUE), headers, handle)

    # -- how it asks -----------------------------------------------------------------------------------------

    def _create(self, stream: str) -> None:
        try:
            self._ask(self._group.create(stream))
        except UnreachableError as error:
            if "BUSYGROUP" not in str(error):  # the group is there
                raise

    def _ask(self, command: GroupCommand) -> Any:
        try:
            return self._client.execute_command(*command)
        except (self._library.RedisError, OSError) as error:
            raise UnreachableError(describe(error)) from error

    def _give_signs(self) -> None:
        """Tell that what is in hand is held by the living, also while a handler works for long."""
        while not self._is_closing.wait(self._group.dead_after_seconds / _SIGNS):
            try:
                for stream, ids in self._in_hand.by_stream():
                    self._ask(self._group.keep(stream, ids))
                self._fault = None
            except UnreachableError as error:
                self._fault = error


def _as_it_came(answer: Any, **_: object) -> Any:
    return answer
