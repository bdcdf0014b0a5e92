"""The rounds of one relay that are settled: at once, by the second writer, or when somebody lets go of their rows."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.exc import DBAPIError

from asyncflow.errors import RowsLockedError
from asyncflow.events import RowsLocked, StepFailed
from asyncflow.outbox.lines.lost import is_lost
from asyncflow.scheduler.cluster.ownership import Ownership
from asyncflow.scheduler.cluster.share import Hold
from asyncflow.scheduler.connections.again import insist
from asyncflow.scheduler.heads.queries import Lane
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.loops.second_writer import SecondWriter
from asyncflow.scheduler.loops.settled_events import SettledEvents
from asyncflow.scheduler.relay.round_writer import RoundWriter, WrittenRound
from asyncflow.scheduler.relay.settlement import Settlement, Unsettled
from asyncflow.scheduler.relay.shared import Shared
from asyncflow.scheduler.table.queries import exclude_writers

_MOST_REFUSALS = 5  # of one round, by a database that writes other things


class Settler:
    """Settle the rounds of one destination; lives as long as its relay, used by its thread alone.

    While a backlog streams, a second writer writes a round, with a connection of its own, as the next one is
    fetched and published. What could not be written, because the database went away, is kept and written first; what
    somebody else has locked is kept aside, and holds up nothing else.
    """

    def __init__(self, instance: Instance, destination: str, shared: Shared, ownership: Ownership) -> None:
        self._destination = destination
        self._outbox = instance.outbox
        self._database = shared.database
        self._second_database = instance.database()
        self._ownership = ownership
        self._parking = shared.parking
        self._hooks = instance.hooks
        self._events = SettledEvents(instance.hooks, destination)
        self.locked = shared.locked
        self._writer = RoundWriter(instance, shared, ownership.job)
        self.unsettled: list[Unsettled] = []  # at most the round of the second writer, and the one after it
        self._second_writer: SecondWriter[WrittenRound] = SecondWriter(f"relay-{destination}", instance.hooks)

    @property
    def takes_second_writer(self) -> bool:
        """Tell whether the database has room for a second writer: SQLite has one, and in memory one connection."""
        return self._database.dialect.locks_rows

    def lanes(self) -> set[Lane]:
        """Return the lanes in which rows stand as pending that were published."""
        return set().union(*(unsettled.lanes() for unsettled in self.unsettled))

    def settle(self, unsettled: Unsettled, *, by_second: bool) -> None:
        """Write the outcomes in one transaction, here or ``by_second`` writer, and tell of what was written.

        Returns with at most this round unwritten, and its shards held until it is written. Raises what the database
        raises, and that part is kept.
        """
        if not len(unsettled):
            self.let_go_of(unsettled.hold)
            return
        self.unsettled.append(unsettled)
        if len(self.unsettled) > 1:
            self._end_second_writer()
        if by_second and self._is_for_second(unsettled):
            self._second_writer.begin(lambda: self._writer.write(self._second_database, unsettled))
        else:
            self._write_all()

    def _is_for_second(self, unsettled: Unsettled) -> bool:
        """Tell whether the second writer may write this round."""
        # What is parked decides on what is read next; and what the second writer could not write is written first.
        is_next = len(self.unsettled) == 1 and not len(unsettled.change)
        return is_next and self.takes_second_writer and self._second_writer.is_free

    def settle_all(self) -> None:
        """Leave nothing unwritten, and give the second connection back; raises what the database raises."""
        if self.unsettled:
            self._end_second_writer()
        self._write_all()

    def _write_all(self) -> None:
        self._second_database.close()
        while self.unsettled:
            self._write_first()

    def give_connection_back(self) -> None:
        """Give the second connection back, unless the second writer is at work with it."""
        if not self._second_writer:
            self._second_database.close()

    def close(self) -> None:
        """Write what is left, give the connection back and end the thread."""
        try:
            insist(self.settle_all)
            insist(self._write_locked)
            if self.locked.parts:
                raise RowsLockedError(
                    f"{len(self.locked)} tasks were published and could not be settled, for somebody holds locks on "
                    f"their rows; they will be published once more"
                )
        finally:
            self._keep_locked([])
            self._second_writer.close()
            self._second_database.close()

    def catch_up(self) -> float:
        """Write what could not be written before, if it is time to; return for how long nothing more is to be fetched.

        Raises what the database raises.
        """
        if self.unsettled and not self._second_writer:
            self.settle_all()
        if not self.locked.parts:
            return 0.0
        if self.locked.seconds_until_retry == 0:
            self._let_go()
            self._write_locked()
        return self.locked.seconds_until_retry if self.locked.is_full else 0.0

    def _let_go(self) -> None:
        """Give up locked rows of shards that are due to another instance: all others of the shard wait for it."""
        owned = self._ownership.epochs()
        if not owned and not any(part.hold.lasts for part in self.locked.parts):
            return  # not by a hand-over: the lease is late
        kept = list[Unsettled]()
        for part in self.locked.parts:
            lanes = {lane for lane in part.all_lanes() if lane[1] in owned}
            if given_up := len(part.settlement) - len(part.keeping(lanes).settlement):
                self._events.of_fenced(given_up)
                self._parking.forget()
            if lanes:
                kept.append(part.keeping(lanes))
        self._keep_locked(kept)

    def _write_locked(self) -> None:
        parts, left, before = self.locked.parts, list[Unsettled](), len(self.locked)
        for number, part in enumerate(parts):
            try:
                written = self._writer.write(self._database, part, waits=False)
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
            self.let_go_of(hold)

    def let_go_of(self, hold: Hold, *, but_for: Collection[int] = ()) -> None:
        """Let go of the shards of a hold, but for some, and those of rows still to be written: parts may share one."""
        unwritten = (one.shards() for one in (*self.unsettled, *self.locked.parts) if one.hold is hold)
        if kept := set(but_for).union(*unwritten):
            hold.keep_only(kept)
        else:
            hold.release()

    def _end_second_writer(self) -> None:
        was_begun = bool(self._second_writer)
        written = self._second_writer.end()
        if written is not None:
            self._take_in(written)
            self._finish_first()
        elif was_begun:
            self._doubt(self.unsettled[0])

    def _write_first(self) -> None:
        first = self.unsettled[0]
        try:
            self._take_in(self._writer.write(self._database, first))
        except Exception as error:
            self._doubt(first)
            first.refusals += self._is_refusal(error)
            if first.refusals < _MOST_REFUSALS:
                raise
            self._write_in_pieces(first)
        self._finish_first()

    def _finish_first(self) -> None:
        """Let go of the shards of the earliest round, but for those of rows that are locked."""
        self.let_go_of(self.unsettled.pop(0).hold)

    def _doubt(self, unsettled: Unsettled) -> None:
        """Believe nothing after a write that failed: neither that it happened, nor that it did not."""
        unsettled.may_be_written = True
        self._parking.forget()

    def _is_refusal(self, error: Exception) -> bool:
        """Tell whether it is this write that the database does not take, for it takes others."""
        lost = isinstance(error, DBAPIError) and (
            is_lost(error, self._database.dialect) or self._database.dialect.is_contention(error)
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
                self._take_in(self._writer.write(self._database, whole.keeping({lane})))
            except Exception as error:
                self._doubt(whole)
                if not self._is_refusal(error):
                    raise
                self._hooks.emit(StepFailed(f"relay-{self._destination}", error, 0.0))
            rest = whole.keeping(whole.all_lanes() - {lane})
            whole.settlement, whole.change = rest.settlement, rest.change

    def _take_in(self, written: WrittenRound) -> None:
        """Know what is settled and what is locked, and tell of it."""
        if written.left is not None:
            self.locked.keep([*self.locked.parts, written.left])
            self._hooks.emit(RowsLocked(self._destination, sum(1 for _ in written.left.concerned())))
        self._tell_of(written)

    def _tell_of(self, written: WrittenRound) -> None:
        if written.change:
            self._parking.adopt(written.change)
        if written.left is None or len(written.settlement):
            self._tell(written.settlement, written.seconds)
        if written.fenced:
            self._events.of_fenced(written.fenced)
            self._parking.forget()
            self._refresh()

    def _refresh(self) -> None:
        """Look who owns what; what was written is written and told all the same, if that cannot be asked now."""
        try:
            self._ownership.refresh()
        except Exception as error:  # noqa: BLE001 - the next heartbeat looks
            self._hooks.emit(StepFailed(f"relay-{self._destination}", error, 0.0))

    def _tell(self, settled: Settlement, seconds: float) -> None:
        if settled.retried or settled.failed:
            self._events.of_each(settled.endings())
        self._events.of_all(settled.counts(), settled.succeeded_of_types(), seconds, settled.waits())
