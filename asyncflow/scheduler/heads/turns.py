"""Whose pages are read next: every task type in turn, and of each type the lanes that begin the earliest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from asyncflow.scheduler.heads.queries import Head

_One = TypeVar("_One")


class Turns:
    """Deal the places of a round to the due heads; lives as long as its relay, used by its thread alone.

    A type with one row gets a place in each round, however many shards of others are due.
    """

    def __init__(self) -> None:
        self._last_type = ""
        self._last_shards: dict[str, int] = {}

    def next(self, due: Iterable[Head], most: int) -> list[Head]:
        """Return up to ``most`` of the heads, of each type the earliest ones; those that are alike take turns."""
        of_types: dict[str, list[Head]] = {}
        for head in sorted(due, key=lambda head: head[:2]):
            of_types.setdefault(head.task_type, []).append(head)
        waiting = [self._in_order(name, of_types[name]) for name in self._types_in_turn(of_types)]
        served = dealt(waiting, most)
        for head in served:
            self._last_type = head.task_type
            self._last_shards[head.task_type] = head.shard
        return served

    def _types_in_turn(self, of_types: Iterable[str]) -> list[str]:
        names = list(of_types)
        return [name for name in names if name > self._last_type] + [name for name in names if name <= self._last_type]

    def _in_order(self, name: str, heads: Sequence[Head]) -> list[Head]:
        last = self._last_shards.get(name, -1)
        in_turn = [head for head in heads if head.shard > last] + [head for head in heads if head.shard <= last]
        return sorted(in_turn, key=lambda head: head.moment)


def dealt(waiting: Sequence[Sequence[_One]], most: int) -> list[_One]:
    """Take one of each type, round and round, until there are ``most`` or none are left."""
    places = range(max(map(len, waiting), default=0))
    in_order = [ones[place] for place in places for ones in waiting if place < len(ones)]
    return in_order[:most]
