"""How the items of a job are shared out among its members: pure functions of what every member sees.

AVG_ALLOCATION, ODEVITY and ROUND_ROBIN deal as ElasticJob does, case by case, and deal everything anew when a member
comes or goes. MINIMAL_MOVEMENT, the default, moves as few items as balance allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Protocol

from asyncflow.errors import OptionError, nearest
from asyncflow.text import shown


class Strategy(Protocol):
    """Share items out; deterministic, so that every member computes the same from the same view."""

    def __call__(
        self, job_name: str, members: Sequence[str], item_count: int, owners: Mapping[int, str], /
    ) -> dict[str, list[int]]:
        """Return for each member its items, in order.

        ``members`` are distinct and sorted. ``owners`` tells who owns which item now; one that nobody owns is not in
        it, and an owner need not be a member any more.
        """
        ...


def strategy_of(given: Any) -> Strategy:
    """Return the strategy of that name, or ``given`` itself if it is a function; raises OptionError.

    What a function answers is checked at each call: an item that nobody gets would never run, and say nothing.
    """
    if isinstance(given, str) and given in STRATEGIES:
        return STRATEGIES[given]
    if callable(given):
        return given if given in STRATEGIES.values() else _checked(given)
    hint = nearest(given.upper(), STRATEGIES) if isinstance(given, str) else ""
    raise OptionError(
        f"sharding_strategy is {shown(given)}{hint}; give one of {', '.join(STRATEGIES)}, "
        f"or a function (job_name, members, item_count, owners) -> items of each member"
    )


# -- ElasticJob's ----------------------------------------------------------------------------------------


def average_allocation(
    job_name: str, members: Sequence[str], item_count: int, owners: Mapping[int, str]
) -> dict[str, list[int]]:
    """Give each member a block of neighbours, and what remains one by one from the first member on."""
    if not members:
        return {}
    block, remainder = divmod(item_count, len(members))
    dealt = block * len(members)
    return {
        member: [*range(place * block, (place + 1) * block), *([dealt + place] if place < remainder else [])]
        for place, member in enumerate(members)
    }


def odevity(job_name: str, members: Sequence[str], item_count: int, owners: Mapping[int, str]) -> dict[str, list[int]]:
    """Allocate on average, from the last member on if the hash of the job's name is even."""
    order = members if java_hash(job_name) % 2 else members[::-1]
    return average_allocation(job_name, order, item_count, owners)


def round_robin(
    job_name: str, members: Sequence[str], item_count: int, owners: Mapping[int, str]
) -> dict[str, list[int]]:
    """Allocate on average, from the member on whose place the hash of the job's name gives."""
    return average_allocation(job_name, _rotated(members, job_name), item_count, owners)


def java_hash(text: str) -> int:
    """Return what Java's ``String.hashCode`` returns: 31-adic over UTF-16 units, wrapping in 32 bits with a sign."""
    units = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return value - 2**32 if value >= 2**31 else value


def _rotated(members: Sequence[str], job_name: str) -> Sequence[str]:
    # Java's Math.abs leaves Integer.MIN_VALUE negative, and ElasticJob then fails for want of such an index; here it
    # is 2**31 like any other.
    offset = abs(java_hash(job_name)) % len(members) if members else 0
    return [*members[offset:], *members[:offset]]


# -- ours ------------------------------------------------------------------------------------------------


def minimal_movement(
    job_name: str, members: Sequence[str], item_count: int, owners: Mapping[int, str]
) -> dict[str, list[int]]:
    """Let members keep what they own as far as balance allows, and move nothing else.

    No share is more than one item larger than another. The larger shares go to those who own most; ties are settled
    from the place that the job's name gives, so that many small jobs do not all meet at the first member.
    """
    # A sort is stable: among equals the rotated order stays.
    owned = _owned(members, item_count, owners)
    order = sorted(_rotated(members, job_name), key=lambda member: -len(owned[member]))
    sizes = {member: len(range(place, item_count, len(order))) for place, member in enumerate(order)}
    kept = {member: owned[member][: sizes[member]] for member in order}
    free = iter(sorted(set(range(item_count)) - {item for items in kept.values() for item in items}))
    return {
        member: sorted([*items, *(next(free) for _ in range(sizes[member] - len(items)))])
        for member, items in kept.items()
    }


def _owned(members: Sequence[str], item_count: int, owners: Mapping[int, str]) -> dict[str, list[int]]:
    owned: dict[str, list[int]] = {member: [] for member in members}
    for item, owner in sorted(owners.items()):
        if owner in owned and 0 <= item < item_count:
            owned[owner].append(item)
    return owned


# -- the user's ------------------------------------------------------------------------------------------


def _checked(strategy: Callable[..., Any]) -> Strategy:
    @wraps(strategy)
    def shares(
        job_name: str, members: Sequence[str], item_count: int, owners: Mapping[int, str]
    ) -> dict[str, list[int]]:
        answer = strategy(job_name, members, item_count, owners)
        if not _is_partition(answer, members, item_count):
            raise OptionError(
                f"sharding_strategy answered {shown(answer)} for the items 0 to {item_count - 1} of {job_name!r}; "
                f"give each item to exactly one of the members {shown(list(members))}"
            )
        return {member: sorted(answer.get(member, ())) for member in members}

    return shares


def _is_partition(answer: Any, members: Sequence[str], item_count: int) -> bool:
    if not isinstance(answer, Mapping) or not set(answer) <= set(members):
        return False
    dealt = [item for items in answer.values() for item in items]
    return not members or sorted(dealt) == list(range(item_count))


AVG_ALLOCATION = "AVG_ALLOCATION"
ODEVITY = "ODEVITY"
ROUND_ROBIN = "ROUND_ROBIN"
MINIMAL_MOVEMENT = "MINIMAL_MOVEMENT"

STRATEGIES: Mapping[str, Strategy] = {
    AVG_ALLOCATION: average_allocation,
    ODEVITY: odevity,
    ROUND_ROBIN: round_robin,
    MINIMAL_MOVEMENT: minimal_movement,
}
