"""The outboxes of this process, for what has to find the one that is meant."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from sqlalchemy import Table

from asyncflow.errors import OptionError

_outboxes: WeakSet[Any] = WeakSet()


def remember(outbox: Any) -> None:
    """Know an outbox for as long as somebody uses it; raises OptionError for one that would hide another's tasks."""
    _require_one_shard_count(outbox.tasks, outbox.shard_count)
    _outboxes.add(outbox)


def outboxes() -> list[Any]:
    """Return those that live, in no order."""
    return list(_outboxes)


def _require_one_shard_count(tasks: Table, shard_count: int) -> None:
    """Raise OptionError if another outbox deals rows of the same table out over another number of shards."""
    for other in outboxes():
        if other.tasks is tasks and other.shard_count != shard_count:
            raise OptionError(
                f"shard_count is {shard_count}, and another Outbox on the same tables has {other.shard_count}, so a "
                f"scheduler of one would miss tasks of the other; make one Outbox, or give this one a prefix of its own"
            )
