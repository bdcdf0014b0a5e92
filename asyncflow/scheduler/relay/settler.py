"""Outcomes written under the fence: by who still owns the shards in the epochs of the fetch."""

from __future__ import annotations

import time
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from asyncflow.errors import RowsLockedError
from asyncflow.events import Hooks, RowsLocked, SettleFenced, StepFailed, TaskFailed, TaskRetried, TasksSettled
from asyncflow.outbox import Outbox
from asyncflow.outbox.status import Status
from asyncflow.scheduler.cluster import queries as ownership_queries
from asyncflow.scheduler.cluster.ownership import Hold, Ownership
from asyncflow.scheduler.connections.again import insist
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.connections.limits import Limits
from asyncflow.scheduler.heads.queries import Lane
from asyncflow.scheduler.loops.second_writer import SecondWriter
from asyncflow.scheduler.relay.locked_rows import LockedRows, free_part
from asyncflow.scheduler.relay.parking import Parking
from asyncflow.scheduler.relay.parking_change import ParkingChange
from asyncflow.scheduler.relay.settlement import Settlement
from asyncflow.scheduler.relay.unsettled import Unsettled
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.table.queries import exclude_writers
from asyncflow.scheduler.table.row_locks import hold_writers

_MOST_REFUSALS = 5  # of one round, by a database that writes other things


class _WrittenRound(NamedTuple):
    """Tell what was written, how many rows were fenced off, what is left for a lock, and how long it took."""

    settlement: Settlement
    change: ParkingChange
    fenced: int
    left: Unsettled | None = None
    seconds: float = 0.0


class _ShardsLost(Exception):  # noqa: N818 - no error: the settler itself catches it
    """Some of the shards are not owned any more; what was written to them is to be rolled back."""

    def __init__(self, owned: set[int]) -> None:
        super().__init__(owned)
        self.owned = owned


class Settler:
    """Settle the rounds of one destination; lives as long as its relay, used by its thread alone.

    While a backlog streams, a second writer writes a round, with a connection of its own, as the next one is
    fetched and published. What could not be written, because the database went away, is kept and written first; what
    somebody else has locked is kept aside, and holds up nothing else.
    """

    def __init__(
        self,
        destination: str,
        outbox: Outbox,
        engine: Engine,
        database: Database,
        ownership: Ownership,
        parking: Parking,
        settings: SchedulerSettings,
        hooks: Hooks,
    ) -> None:
        self._destination = destination
        self._outbox = outbox
        self._database = database
        self._second_database = Database(engine, limits=Limits.within(settings.lease_seconds))
        self._ownership = ownership
        self._parking = parking
        self._deletes = settings.on_success == "delete"
        self._hooks = hooks
        self.locked = LockedRows(lambda name: outbox.task_types[name].ordered)
        self._unsettled: list[Unsettled] = []  # at most the round of the second writer, and the one after it
        self._second_writer: SecondWriter[_WrittenRound] = SecondWriter(f"relay-{destination}", hooks)

    def __bool__(self) -> bool:
        return bool(self._unsettled)

    @property
    def is_behind(self) -> bool:
        """Tell whether something could not be written and is to be tried again."""
        return bool(self._unsettled) and not self._second_writer

    @property
    def takes_second_writer(self) -> bool:
        """Tell whether the database has room for a second writer: SQLite has one, and in memory one connection."""
        return self._database.dialect.locks_rows

    def lanes(self) -> set[Lane]:
        """Return the lanes in which rows stand as pending that were published."""
        return set().union(*(unsettled.lanes() for unsettled in self._unsettled))

    def settle(self, unsettled: Unsettled, *, by_second: bool) -> None:
        """Write the outcomes in one transaction, here or ``by_second`` writer, and tell of what was written.

        Returns with at most this round unwritten. Raises what the database raises, and that part is kept.
        """
        self._unsettled.append(unsettled)
        self._end_second_writer()
        if by_second and self._is_for_second(unsettled):
            self._second_writer.begin(lambda: self._write_out(self._second_database, unsettled))
        else:
            self.settle_all()

    def _is_for_second(self, unsettled: Unsettled) -> bool:
        """Tell whether the second writer may write this round."""
        # What is parked decides on what is read next; and what the second writer could not write is written first.
        is_next = len(self._unsettled) == 1 and not len(unsettled.change)
        return is_next and self.takes_second_writer and self._second_writer.is_free

    def settle_all(self) -> None:
        """Leave nothing unwritten, and give the second connection back; raises what the database raises."""
        self._end_second_writer()
        self._second_database.close()
        while self._unsettled:
            self._write_first()

    def close(self) -> None:
        """Write what is left, give the connection back and end the thread."""
        try:
            insist(self.settle_all)
            insist(self._write_locked)
            if self.locked:
                raise RowsLockedError(
                    f"{len(self.locked)} tasks were published and could not be settled, for somebody holds locks on "
                    f"their rows; they will be published once more"
                )
        finally:
            for part in self.locked.parts:
                part.hold.release()
            self._second_writer.close()
            self._second_database.close()

    def retry_locked(self) -> None:
        """Write what somebody else had locked, if it is time to look whether it still is."""
        if self.locked and self.locked.seconds_until_retry == 0:
            self._let_go()
            self._write_locked()

    def _let_go(self) -> None:
        """Give up locked rows of shards that are due to another instance: all others of the shard wait for it."""
        owned = self._ownership.epochs()
        if not owned:
            return  # not by a hand-over: the lease is late
        kept = list[Unsettled]()
        for part in self.locked.parts:
            lanes = {lane for lane in part.all_lanes() if lane[1] in owned}
            if given_up := len(part.settlement) - len(part.keeping(lanes).settlement):
                self._hooks.emit(SettleFenced(self._destination, given_up))
                self._parking.forget()
            if lanes:
                kept.append(part.keeping(lanes))
        self._keep_locked(kept)

    def _write_locked(self) -> None:
        parts, left, before = self.locked.parts, list[Unsettled](), len(self.locked)
        for number, part in enumerate(parts):
            try:
                written = self._write_out(self._database, part, waits=False)
            except Exception:
                self._doubt(part)
                self._keep_locked([*left, *parts[number:]], some_were_written=False)
                raise
            self._tell_of(written)
            if written.left is not None:
                left.append(written.left)
        self._keep_locked(left, some_were_written=sum(map(len, left)) < before)

    def _keep_locked(self, parts: list[Unsettled], *, some_were_written: bool = True) -> None:
        """Keep these parts of those that are locked, and let go of the shards of the others."""
        holds = [part.hold for part in self.locked.parts]
        self.locked.keep(parts, some_were_written=some_were_written)
        for hold in holds:
            self._let_go_of(hold)

    def _let_go_of(self, hold: Hold) -> None:
        """Let go of the shards of a hold, but for those of rows that are still to be written: parts may share one."""
        rest = [one.shards() for one in (*self._unsettled, *self.locked.parts) if one.hold is hold]
        if rest:
            hold.keep_only(set().union(*rest))
        else:
            hold.release()

    def _end_second_writer(self) -> None:
        was_begun = bool(self._second_writer)
        written = self._second_writer.end()
        if written is not None:
            self._take_in(written)
            self._finish_first()
        elif was_begun:
            self._doubt(self._unsettled[0])

    def _write_first(self) -> None:
        first = self._unsettled[0]
        try:
            self._take_in(self._write_out(self._database, first))
        except Exception as error:
            self._doubt(first)
            first.refusals += self._is_refusal(error)
            if first.refusals < _MOST_REFUSALS:
                raise
            self._write_in_pieces(first)
        self._finish_first()

    def _finish_first(self) -> None:
        """Let go of the shards of the earliest round, but for those of rows that are locked."""
        self._let_go_of(self._unsettled.pop(0).hold)

    def _doubt(self, unsettled: Unsettled) -> None:
        """Believe nothing after a write that failed: neither that it happened, nor that it did not."""
        unsettled.may_be_written = True
        self._parking.forget()

    def _is_refusal(self, error: Exception) -> bool:
        """Tell whether it is this write that the database does not take, for it takes others."""
        lost = isinstance(error, DBAPIError) and (
            error.connection_invalidated or self._database.dialect.is_contention(error)
        )
        if lost:
            return False
        try:
            self._database.run(lambda c: c.execute(exclude_writers(self._outbox.shards)))
        except Exception:  # noqa: BLE001 - it takes nothing at present: the error in hand is raised
            return False
        return True

    def _write_in_pieces(self, whole: Unsettled) -> None:
        """Write what can be written, so that one part holds up no other; that part will be read and sent again."""
        for lane in sorted(whole.all_lanes()):
            try:
                self._take_in(self._write_out(self._database, whole.keeping({lane})))
            except Exception as error:
                self._doubt(whole)
                if not self._is_refusal(error):
                    raise
                self._hooks.emit(StepFailed(f"relay-{self._destination}", error, 0.0))
            rest = whole.keeping(whole.all_lanes() - {lane})
            whole.settlement, whole.change = rest.settlement, rest.change

    def _take_in(self, written: _WrittenRound) -> None:
        """Know what is settled and what is locked, and tell of it."""
        if written.left is not None:
            self.locked.keep([*self.locked.parts, written.left])
            self._hooks.emit(RowsLocked(self._destination, sum(1 for _ in written.left.concerned())))
        self._tell_of(written)

    def _tell_of(self, written: _WrittenRound) -> None:
        self._parking.adopt(written.change)
        if len(written.settlement) or written.left is None:
            self._tell(written.settlement, written.seconds)
        if written.fenced:
            self._hooks.emit(SettleFenced(self._destination, written.fenced))
            self._parking.forget()
            self._ownership.refresh()

    def _write_out(self, database: Database, unsettled: Unsettled, *, waits: bool = True) -> _WrittenRound:
        """Write the outcomes of the shards still owned in the epoch of the fetch; count the others.

        While some rows are known to be locked, and after having waited for one, it waits for no other.
        """
        began, owned = time.perf_counter(), None
        skips = database.skips_locked
        waits = waits and not (self.locked and skips)
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

    def _write(self, connection: Connection, unsettled: Unsettled, owned: set[int] | None) -> _WrittenRound:
        """Write the rows first, and look last whether their shards are ``owned`` still: all are, as far as one knows.

        So one that waits for a row holds no shard meanwhile, and no heartbeat waits for it.
        """
        hold_writers(connection, self._outbox.shards)
        owned = unsettled.shards() if owned is None else owned
        written = self._write_owned(connection, unsettled, owned)
        still = self._still_owned(connection, owned, unsettled.hold)
        if still != owned:
            raise _ShardsLost(still)
        return written

    def _write_free(self, connection: Connection, unsettled: Unsettled) -> _WrittenRound:
        """Write what nobody else has locked."""
        free, owned, left = free_part(connection, self._outbox, self._ownership.job, unsettled, Status.PENDING)
        return self._write_owned(connection, free, owned)._replace(left=left)

    def _write_owned(self, connection: Connection, unsettled: Unsettled, owned: set[int]) -> _WrittenRound:
        settlement, change = unsettled.settlement, unsettled.change
        if unsettled.may_be_written:
            return _WrittenRound(*self._write_again(connection, unsettled, owned))
        if owned != unsettled.shards():
            settlement = settlement.keeping(lambda task: task.shard in owned)
            change = change.keeping({lane for lane in change.lanes() if lane[1] in owned})
        changed = settlement.write(connection, self._outbox.tasks, delete_succeeded=self._deletes)
        if change:
            self._parking.write(connection, change)
        return _WrittenRound(settlement, change, len(unsettled.settlement) - changed)

    def _write_again(
        self, connection: Connection, unsettled: Unsettled, owned: set[int]
    ) -> tuple[Settlement, ParkingChange, int]:
        """Write what an earlier attempt may have written; what it did write counts as settled, whoever owns it now."""
        whole, tasks = unsettled.settlement, self._outbox.tasks
        standing = whole.standing(connection, tasks, delete_succeeded=self._deletes)
        left = whole.keeping(lambda task: task.shard in owned and task.raw_id not in standing)
        changed = left.write(connection, tasks, delete_succeeded=self._deletes)
        change = unsettled.change.keeping({lane for lane in unsettled.change.lanes() if lane[1] in owned})
        if change:
            self._parking.write(connection, change)
        told = whole.keeping(lambda task: task.shard in owned or task.raw_id in standing)
        return told, change, len(whole) - changed - len(standing)

    def _still_owned(self, connection: Connection, shards: set[int], hold: Hold) -> set[int]:
        if not shards:
            return set()
        wanted = {"its_job": self._ownership.job, "shards": sorted(shards)}
        held = connection.execute(ownership_queries.hold_epochs(self._outbox.shards), wanted)
        return {row.shard for row in held if hold.get(row.shard) == row.epoch}

    def _tell(self, settled: Settlement, seconds: float) -> None:
        for (delay, error), tasks in settled.retried.items():
            for task in tasks:
                self._hooks.emit(TaskRetried(task.id, task.task_type, task.retry_count + 1, delay, error))
        for error, tasks in settled.failed.items():
            for task in tasks:
                self._hooks.emit(TaskFailed(task.id, task.task_type, task.retry_count, error))
        counts = len(settled.succeeded), settled.count(settled.retried), settled.count(settled.failed)
        self._hooks.emit(TasksSettled(self._destination, *counts, seconds))
