"""What the cleaner does of roll-over; nothing, where the outbox has none."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection

from asyncflow.events import Hooks
from asyncflow.outbox.status import Status
from asyncflow.scheduler.archive.archive import Archive
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.upkeep.rolling.held_up import HeldUp
from asyncflow.scheduler.upkeep.rolling.keeper import Keeper
from asyncflow.scheduler.upkeep.rolling.mover import Moved, Mover, MoveRefused
from asyncflow.scheduler.upkeep.rolling.queries import OVER

_BATCHES = 10  # in a table, at least


class Rolling:
    """Have rows moved and tables kept; ``ages`` are the statuses that are moved, with the seconds after which.

    A batch goes into one table as a whole: ``most_rows`` are a small part of one. Used by the cleaner's thread.
    """

    def __init__(
        self,
        hooks: Hooks,
        mover: Mover | None,
        keeper: Keeper | None,
        ages: dict[Status, float],
        most_rows: float = float("inf"),
    ) -> None:
        self._mover = mover
        self._keeper = keeper
        self.ages = ages
        self.most_rows = most_rows
        self._held_up = HeldUp(hooks)

    @classmethod
    def of(cls, instance: Instance, archive: Archive | None = None) -> Rolling:
        """Return that of an instance."""
        numbered = instance.outbox.numbered_tables
        if numbered is None:
            return cls(instance.hooks, None, None, {})
        ages = dict.fromkeys(OVER, numbered.options.after.total_seconds())
        mover, keeper = Mover(instance.outbox, numbered), Keeper(instance, numbered, archive)
        return cls(instance.hooks, mover, keeper, ages, numbered.options.rows // _BATCHES)

    @property
    def is_due(self) -> bool:
        """Tell whether it is time to look at the tables."""
        return self._keeper is not None and self._keeper.is_due

    @property
    def is_archiving(self) -> bool:
        """Tell whether the last step has archived a part of a table."""
        return self._keeper is not None and self._keeper.is_archiving

    def keep(self) -> None:
        """Take the next step of the tables, which the owner of the first shard does for all."""
        if self._keeper is not None:
            self._keeper.step()

    def note(self, moved: Moved) -> None:
        """Know of a table that takes rows, or is full."""
        self._held_up.is_over()
        if moved.is_full and self._keeper is not None:
            self._keeper.hurry()

    def tell(self, refused: MoveRefused) -> None:
        """Tell of a table that takes no rows."""
        self._held_up.note(refused.table, refused.reason)

    def move(self, connection: Connection, raw_ids: Collection[Any], status: Status) -> Moved | None:
        """Move rows that are over; None if there is no table for them. Raises as ``Mover.move``."""
        return None if self._mover is None else self._mover.move(connection, raw_ids, status)
