"""Rounds of claims: rows of one task type are taken, a few of many lanes each time, until there are enough."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from asyncflow.scheduler.heads.queries import MOST_PAGES, Head

_MORE_ROUNDS = 8  # than full ones would take, in one hold
_VAIN_ROUNDS = 4  # of these, in which others took all that was read
_STEP = 64  # rows read and claimed at once, each of a megabyte at most
_SCATTER = 16  # places among which those choose that came too late

T = TypeVar("T")
ClaimIn = Callable[[Iterable[tuple[Sequence[Head], int]]], list[T]]


def claim_rows(
    claim_in: ClaimIn[T],
    look: Callable[[], list[Head]],
    heads: list[Head],
    most: int,
    is_full: Callable[[list[T]], bool] = lambda _: False,
) -> list[T]:
    """Claim up to ``most`` rows of the lanes of one type, no more once ``is_full``; begin with these ``heads``.

    ``look`` reads the heads that are due, the earliest first: after a round that came short, since most lanes are empty
    towards the end of a large hold, and the last rows would be searched for in one after the other. So fewer than there
    is room for are claimed only if no more are due, or others want the same.
    """
    held: list[T] = []
    in_vain = 0
    for _ in range(_MORE_ROUNDS + 2 * most // _STEP):
        rows = min(most - len(held), _STEP)
        pages = min(rows, MOST_PAGES)
        if not rows or not heads or in_vain == _VAIN_ROUNDS or is_full(held):
            break
        served, heads = heads[:pages], heads[pages:]
        found = claim_in([(served, rows)])
        held += found
        if len(found) == rows:
            heads += served  # rows may be left in these, but those that were not read come first
        elif found:
            heads = look()
        else:
            in_vain += 1
            heads = behind(look(), random.randrange(1, _SCATTER) * pages)
    return held


def earliest_due(heads: Iterable[Head]) -> list[Head]:
    """Return the heads that are due, the earliest first."""
    return sorted((head for head in heads if head.due_in_seconds <= 0), key=lambda head: head.moment)


def behind(heads: list[Head], count: int) -> list[Head]:
    """Let the heads begin behind the first few, which come last."""
    first = count % len(heads) if heads else 0
    return heads[first:] + heads[:first]
