"""Processes of an application that grows for years: one writes in bulk, one schedules. Each may be killed."""

from __future__ import annotations

import os
import sys
import threading
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import orjson
from sqlalchemy import BigInteger, Column, Engine, Integer, MetaData, Table, func, insert, make_url, select
from sqlalchemy.exc import DBAPIError

from asyncflow import Message, Outbox, RollOver, Scheduler
from asyncflow.driver_errors import number_of
from asyncflow.errors import ConnectionSilentError
from asyncflow.outbox.status import Status
from asyncflow.scheduler import SENT, Outcome, Record
from asyncflow.scheduler.upkeep.rolling import keeper
from tests.chaos.plan import Plan
from tests.chaos.rolling_process import tell_of
from tests.chaos.telling import tell, wait_for_parent_to_leave
from tests.support.databases import open_engine

TOGETHER = 100  # messages of one entry
_THREADS = 2
_MOST_PENDING = 10_000
_LOOK_EVERY = 5  # transactions of a thread
_OF_THE_CLIENT = range(2000, 3000)  # numbers of MariaDB's client: there is no connection


class Ledger:
    """Have entries, each written with a hundred messages, whose numbers follow from its own."""

    def __init__(self, engine: Engine, rows: int) -> None:
        self.engine = engine
        self.metadata = MetaData()
        number = Column("number", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True)
        self.entries = Table("entries", self.metadata, number)
        rolls = RollOver(rows=rows, after=timedelta(0), keep=timedelta(0))
        self.outbox = Outbox(self.metadata, roll_over=rolls)
        self.outbox.message("moved")

    def write(self) -> None:
        """Commit an entry with its messages."""
        with self.engine.begin() as connection:
            (entry,) = connection.execute(insert(self.entries).values()).inserted_primary_key or (0,)
            numbers = range(entry * TOGETHER, (entry + 1) * TOGETHER)
            self.outbox.publish_many(connection, "moved", [Message({"n": number}) for number in numbers])

    def has_many_pending(self) -> bool:
        """Tell whether so many wait that more of them would only wait longer."""
        tasks = self.outbox.tasks
        waiting = select(tasks.c.id).where(tasks.c.status == Status.PENDING).limit(_MOST_PENDING).subquery()
        with self.engine.connect() as connection:
            count: int = connection.execute(select(func.count()).select_from(waiting)).scalar_one()
        return count >= _MOST_PENDING

    def numbers(self) -> set[int]:
        """Return the numbers of all entries."""
        with self.engine.connect() as connection:
            return set(connection.scalars(select(self.entries.c.number)))


class Book:
    """Be a publisher that writes down the number of each message, which no kill of its process takes back."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        numbers = array("I", [orjson.loads(record.value or b"")["n"] for record in batch])
        os.write(self._file, numbers.tobytes())
        return [SENT] * len(batch)

    def close(self) -> None: ...


def write(ledger: Ledger) -> None:
    """Write until the parent closes our stdin, then tell how much, and how often the database was away."""
    done: Counter[str] = Counter()
    stopping = threading.Event()
    threads = [threading.Thread(target=_write, args=(ledger, done, stopping)) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    tell("started")
    wait_for_parent_to_leave()
    stopping.set()
    for thread in threads:
        thread.join()
    tell("wrote", **done)


def _write(ledger: Ledger, done: Counter[str], stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            while ledger.has_many_pending() and not stopping.wait(0.1):
                pass
            for _ in range(_LOOK_EVERY):
                ledger.write()
                done["entries"] += 1
        except (DBAPIError, ConnectionSilentError) as error:
            if not _is_away(error):
                tell("broke", error=repr(error)[:500])
                raise
            done["away"] += 1
            time.sleep(0.2)
        except BaseException as error:
            tell("broke", error=repr(error)[:500])
            raise


def _is_away(error: DBAPIError | ConnectionSilentError) -> bool:
    """Tell whether the server was killed, which is no fault of the roll-over."""
    if isinstance(error, ConnectionSilentError) or error.connection_invalidated:
        return True
    return (number_of(error.orig) or 0) in _OF_THE_CLIENT


def schedule(ledger: Ledger, book: str) -> None:
    """Schedule until the parent ends."""
    keeper.GRACE_SECONDS = 0.5
    keeper._PAUSE_SECONDS = 0.2
    scheduler = Scheduler(
        ledger.engine,
        ledger.outbox,
        {"kafka": Book(book)},
        hooks=[tell_of],
        lease_seconds=2.0,
        heartbeat_seconds=0.4,
        cleaning_interval_seconds=0.05,
        cleaning_pause_seconds=0.002,
    )
    scheduler.start()
    tell("started")
    wait_for_parent_to_leave()
    tell("stopped", clean=scheduler.stop(60))


def main() -> None:
    """Be a writer, or a scheduler that keeps a book; tables are of so many rows."""
    plan = Plan.from_environment()
    what, rows, *book = sys.argv[1:]
    ledger = Ledger(open_engine(make_url(plan.database_url)), int(rows))
    if what == "write":
        write(ledger)
    else:
        schedule(ledger, *book)


if __name__ == "__main__":
    main()
