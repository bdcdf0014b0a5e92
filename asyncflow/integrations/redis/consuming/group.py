"""The commands of a consumer group, and what they answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

GIVEN_BACK = "given-back"  # the member of the group that holds what others may take at once
COMMANDS = ("XREADGROUP", "XAUTOCLAIM", "XCLAIM", "XPENDING")  # whose answers are read here
GroupCommand = list[str | int]


class Entry(NamedTuple):
    """Hold an entry of a stream; its fields are None where the stream has been trimmed behind the group's back."""

    stream: str
    id: str
    fields: Mapping[bytes, bytes] | None


class Group(NamedTuple):
    """Say which member of which group a consumer is."""

    name: str
    member: str
    dead_after_seconds: float
    creates_streams: bool

    @property
    def dead_after_milliseconds(self) -> int:
        """Return after how long without a sign of life a member's entries are for others."""
        return int(self.dead_after_seconds * 1000)

    def create(self, stream: str) -> GroupCommand:
        """Return what makes the group, at the earliest entry, and, if it may, the stream where there is none."""
        made: GroupCommand = ["MKSTREAM"] if self.creates_streams else []
        return ["XGROUP", "CREATE", stream, self.name, "0", *made]

    def read(self, streams: Iterable[str], count: int, milliseconds: int) -> GroupCommand:
        """Return what reads entries that no member has had."""
        names = list(streams)
        which: GroupCommand = ["GROUP", self.name, self.member, "COUNT", count, "BLOCK", milliseconds]
        return ["XREADGROUP", *which, "STREAMS", *names, *[">"] * len(names)]

    def read_again(self, stream: str, after: str, count: int) -> GroupCommand:
        """Return what reads entries that this member holds."""
        return ["XREADGROUP", "GROUP", self.name, self.member, "COUNT", count, "STREAMS", stream, after]

    def take_over(self, stream: str, cursor: str, count: int) -> GroupCommand:
        """Return what makes entries this member's that dead ones held."""
        least = self.dead_after_milliseconds
        return ["XAUTOCLAIM", stream, self.name, self.member, least, cursor, "COUNT", count]

    def keep(self, stream: str, ids: Iterable[str]) -> GroupCommand:
        """Return what gives a sign of life for entries."""
        return ["XCLAIM", stream, self.name, self.member, 0, *ids, "JUSTID"]

    def give_back(self, stream: str, ids: Iterable[str]) -> GroupCommand:
        """Return what lets others take entries at once."""
        return ["XCLAIM", stream, self.name, GIVEN_BACK, 0, *ids, "IDLE", self.dead_after_milliseconds, "JUSTID"]

    def acknowledge(self, stream: str, id_: str) -> GroupCommand:
        """Return what lets the group forget an entry."""
        return ["XACK", stream, self.name, id_]

    def held(self, stream: str) -> GroupCommand:
        """Return what asks for one entry that this member holds."""
        return ["XPENDING", stream, self.name, "-", "+", 1, self.member]

    def leave(self, stream: str) -> GroupCommand:
        """Return what ends the membership; the group would forget entries that are still held."""
        return ["XGROUP", "DELCONSUMER", stream, self.name, self.member]


def entries_read(answer: Any) -> list[Entry]:
    """Return the entries of an answer to XREADGROUP, in either protocol of Redis."""
    if not answer:
        return []
    by_stream = answer.items() if isinstance(answer, dict) else answer
    return [entry for stream, entries in by_stream for entry in entries_of(stream, entries)]


def entries_of(stream: bytes | str, entries: Any) -> list[Entry]:
    """Return entries of one stream, told as pairs of id and fields."""
    name = stream.decode() if isinstance(stream, bytes) else stream
    return [Entry(name, one[0].decode(), _fields(one[1])) for one in entries if one is not None]


def _fields(told: Any) -> Mapping[bytes, bytes] | None:
    if told is None or isinstance(told, dict):
        return told or None
    return dict(zip(told[::2], told[1::2], strict=True)) or None
