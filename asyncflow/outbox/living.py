"""The outboxes of this process, for what has to find the one that is meant."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Table

from asyncflow.errors import OptionError

_outboxes: WeakKeyDictionary[Any, None] = WeakKeyDictionary()


def remember(outbox: Any) -> None:
    """Know an outbox for as long as somebody uses it; raises OptionError for one that would hide another's tasks."""
    _require_one_shard_count(outbox.tasks, outbox.shard_count)
    _require_one_roll_over(outbox.tasks, outbox.numbered_tables)
    _outboxes[outbox] = None


def outboxes() -> list[Any]:
    """Return those that live, in no order."""
    # Its references are copied in one step: another thread may make an Outbox at this moment.
    return [outbox for one in _outboxes.keyrefs() if (outbox := one()) is not None]


def _require_one_roll_over(tasks: Table, numbered: Any) -> None:
    """Raise OptionError if another outbox rolls rows of the same table over by other options; ``numbered``: its own."""
    for other in outboxes():
        theirs = other.numbered_tables if other.tasks is tasks else None
        if numbered is not None and theirs is not None and theirs.options != numbered.options:
            raise OptionError(
                f"roll_over is {numbered.options}, and another Outbox on the same tables has {theirs.options}: who "
                f"keeps the tables would go by one or the other; make one Outbox, or give both the same"
            )


def _require_one_shard_count(tasks: Table, shard_count: int) -> None:
    """Raise OptionError if another outbox deals rows of the same table out over another number of shards."""
    for other in outboxes():
        if other.tasks is tasks and other.shard_count != shard_count:
            raise OptionError(
                f"shard_count is {shard_count}, and another Outbox on the same tables has {other.shard_count}, so a "
                f"scheduler of one would miss tasks of the other; make one Outbox, or give this one a prefix of its own"
            )
