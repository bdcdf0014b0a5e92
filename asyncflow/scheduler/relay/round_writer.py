"""The write of one round's outcomes, under the fence: by who still owns the shards in the epochs of the fetch."""

from __future__ import annotations

import time
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection

from asyncflow.errors import WriteIgnoredError
from asyncflow.outbox.status import Status
from asyncflow.scheduler.cluster import queries as cluster_queries
from asyncflow.scheduler.cluster.share import Hold
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.relay.keys.parking_change import ParkingChange
from asyncflow.scheduler.relay.locked_rows import free_part
from asyncflow.scheduler.relay.settlement import Settlement, Unsettled
from asyncflow.scheduler.relay.shared import Shared
from asyncflow.scheduler.table.row_locks import hold_writers


class WrittenRound(NamedTuple):
    """Tell what was written, how many rows were fenced off, what is left for a lock, and how long it took."""

    settlement: Settlement
    change: ParkingChange
    fenced: int
    left: Unsettled | None = None
    seconds: float = 0.0


class _ShardsLost(Exception):  # noqa: N818 - no error: the writer itself catches it
    """Some of the shards are not owned any more; what was written to them is to be rolled back."""

    def __init__(self, owned: set[int]) -> None:
        super().__init__(owned)
        self.owned = owned


class RoundWriter:
    """Write rounds of one job's tasks, each in one transaction; lives as long as its relay.

    The relay's thread and its second writer write, never both at once.
    """

    def __init__(self, instance: Instance, shared: Shared, job: str) -> None:
        self._outbox = instance.outbox
        self._deletes = instance.settings.on_success == "delete"
        self._done_leave = self._deletes or instance.outbox.numbered_tables is not None
        self._parking = shared.parking
        self._locked = shared.locked
        self._job = job

    def write(self, database: Database, unsettled: Unsettled, *, waits: bool = True) -> WrittenRound:
        """Write the outcomes of the shards still owned in the epoch of the fetch; count the others.

        While some rows are known to be locked, and after having waited for one, it waits for no other.
        """
        began, owned = time.perf_counter(), None
        skips = database.skips_locked
        waits = waits and not (self._locked.parts and skips)
        while True:
            try:
                if waits or not skips:
                    when_locked = partial(self._write_free, unsettled=unsettled) if skips else None
                    written = database.run(partial(self._write, unsettled=unsettled, owned=owned), when_locked)
                else:
                    written = database.run(partial(self._write_free, unsettled=unsettled))
                return written._replace(seconds=time.perf_counter() - began)
            except _ShardsLost as lost:
                owned = lost.owned

    def _write(self, connection: Connection, unsettled: Unsettled, owned: set[int] | None) -> WrittenRound:
        """Write the rows first, and look last whether their shards are ``owned`` still: all are, as far as one knows.

        So one that waits for a row holds no shard meanwhile, and no heartbeat waits for it.
        """
        hold_writers(connection, self._outbox.shards)
        its = unsettled.shards()
        owned = its if owned is None else owned
        written = self._write_owned(connection, unsettled, owned, is_whole=owned == its)
        still = self._still_owned(connection, owned, unsettled.hold)
        if still != owned:
            raise _ShardsLost(still)
        return written

    def _write_free(self, connection: Connection, unsettled: Unsettled) -> WrittenRound:
        """Write what nobody else has locked."""
        free, owned, left = free_part(connection, self._outbox, self._job, unsettled, Status.PENDING)
        written = self._write_owned(connection, free, owned, is_whole=owned == free.shards())
        return written._replace(left=left)

    def _write_owned(
        self, connection: Connection, unsettled: Unsettled, owned: set[int], *, is_whole: bool
    ) -> WrittenRound:
        """Write the part of the shards that are owned; ``is_whole``: that is all of it."""
        settlement, change = unsettled.settlement, unsettled.change
        if unsettled.may_be_written:
            return self._write_again(connection, unsettled, owned)
        if not is_whole:
            settlement = settlement.keeping(lambda task: task.shard in owned)
            change = change.keeping({lane for lane in change.lanes() if lane[1] in owned})
        changed = settlement.write(connection, self._outbox.tasks, delete_succeeded=self._deletes)
        if changed < len(settlement):
            self._require_taken(connection, settlement)
        if change:
            self._parking.write(connection, change)
        return WrittenRound(settlement, change, len(unsettled.settlement) - changed)

    def _write_again(self, connection: Connection, unsettled: Unsettled, owned: set[int]) -> WrittenRound:
        """Write what an earlier attempt may have written; what it did write counts as settled, whoever owns it now."""
        whole, tasks = unsettled.settlement, self._outbox.tasks
        standing = whole.standing(connection, tasks, done_leave=self._done_leave)
        left = whole.keeping(lambda task: task.shard in owned and task.raw_id not in standing)
        if left.write(connection, tasks, delete_succeeded=self._deletes) < len(left):
            self._require_taken(connection, left)
            # A COMMIT without an answer may happen late: while its rows were locked for it.
            standing = whole.standing(connection, tasks, done_leave=self._done_leave)
        else:
            standing |= {task.raw_id for task in left.tasks()}
        change = unsettled.change.keeping({lane for lane in unsettled.change.lanes() if lane[1] in owned})
        if change:
            self._parking.write(connection, change)
        told = whole.keeping(lambda task: task.shard in owned or task.raw_id in standing)
        return WrittenRound(told, change, len(whole) - len(standing))

    def _require_taken(self, connection: Connection, settlement: Settlement) -> None:
        """Raise WriteIgnoredError for rows that nobody changed, and that the write left all the same.

        They are no other's, so what was sent would be read and sent again at once, for ever.
        """
        if count := settlement.count_untouched(connection, self._outbox.tasks):
            raise WriteIgnoredError(
                f"the database took the write that settles {len(settlement)} tasks, and left {count} rows of "
                f"{self._outbox.tasks.fullname} as they were; look for a trigger or for row security that keeps them so"
            )

    def _still_owned(self, connection: Connection, shards: set[int], hold: Hold) -> set[int]:
        if not shards:
            return set()
        epochs, wanted = hold.epochs, {"its_job": self._job, "shards": sorted(shards)}
        held = connection.execute(cluster_queries.hold_epochs(self._outbox.shards), wanted)
        return {row.shard for row in held if epochs.get(row.shard) == row.epoch}
