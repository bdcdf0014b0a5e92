"""Processes whose tasks roll over: one that enqueues and looks tasks up, and a scheduler. Each may be killed."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from datetime import timedelta

from sqlalchemy import Engine, String, insert, make_url, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from asyncflow import Gone, Outbox, RollOver, Scheduler
from asyncflow.events import Event, NumberedTableClosed, NumberedTableDropped, RollOverHeldUp, StepFailed
from asyncflow.outbox.dialects import dialect_of
from asyncflow.scheduler.upkeep.rolling import keeper
from tests.chaos.plan import Plan
from tests.chaos.telling import tell, wait_for_parent_to_leave
from tests.support.databases import open_engine

ROWS = 200
THREADS = 3


class Warehouse:
    """Have orders, each written with its task, and deliveries, which the tasks write: one for each order."""

    def __init__(self, engine: Engine) -> None:
        class Base(DeclarativeBase):
            pass

        class Order(Base):
            __tablename__ = "orders"
            number: Mapped[str] = mapped_column(String(36), primary_key=True)

        class Delivery(Base):
            __tablename__ = "deliveries"
            number: Mapped[str] = mapped_column(String(36), primary_key=True)

        self.engine, self.Base, self.Order, self.Delivery = engine, Base, Order, Delivery
        rolls = RollOver(rows=ROWS, after=timedelta(0), keep=timedelta(0))
        self.outbox = Outbox(Base.metadata, roll_over=rolls)

        @self.outbox.task(
            transactional=True, max_retries=1000, retry_interval_seconds=0.1, max_retry_interval_seconds=0.1
        )
        def deliver(session: Session, number: str) -> None:
            session.execute(insert(Delivery).values(number=number))

        self.deliver = deliver

    def numbers(self, kind: type[DeclarativeBase]) -> list[str]:
        """Return the numbers of the orders, or of the deliveries."""
        with Session(self.engine) as session:
            return list(session.scalars(select(kind.number)))  # type: ignore[attr-defined]


class Clerks:
    """Write orders, roll some back, and look earlier ones up, until told to stop."""

    def __init__(self, warehouse: Warehouse, name: str) -> None:
        self.done: Counter[str] = Counter()
        self.stopping = threading.Event()
        self._warehouse = warehouse
        self._name = name
        self._ids: list[object] = []

    def work(self, clerk: int) -> None:
        number = 0
        while not self.stopping.wait(0.002):
            number += 1
            try:
                self._write([f"{self._name}-{clerk}-{number}-{one}" for one in range(random.randint(1, 8))])
                self._look()
            except OperationalError as error:
                if not dialect_of(self._warehouse.engine.dialect.name).is_contention(error):
                    raise
                self.done["contention"] += 1  # of SQLite, which has one writer

    def _write(self, numbers: list[str]) -> None:
        warehouse = self._warehouse
        with Session(warehouse.engine) as session:
            session.add_all([warehouse.Order(number=number) for number in numbers])
            ids = [warehouse.deliver.enqueue(session, number=number) for number in numbers]
            session.flush()
            if random.random() < 0.1:
                session.rollback()
                return
            session.commit()
        self._ids = [*self._ids[-500:], *ids]
        self.done["written"] += len(numbers)

    def _look(self) -> None:
        outbox = self._warehouse.outbox
        with Session(self._warehouse.engine) as session:
            outbox.find(session, ids=random.sample(self._ids, min(5, len(self._ids))))  # type: ignore[arg-type]
            newest = outbox.result(session, self._ids[-1]) if self._ids else None  # type: ignore[arg-type]
            self.done["gone"] += isinstance(newest, Gone)


def tell_of(event: Event) -> None:
    """Be a hook that tells the parent what becomes of the tables, and of what failed."""
    match event:
        case NumberedTableClosed(table=table):
            tell("closed", table=table)
        case NumberedTableDropped(table=table):
            tell("dropped", table=table)
        case RollOverHeldUp(table=table, reason=reason):
            tell("held up", table=table, reason=reason)
        case StepFailed(loop=loop, error=error):
            tell("step failed", loop=loop, error=repr(error)[:300])
        case _:
            pass


def write(warehouse: Warehouse, name: str) -> None:
    """Write until the parent closes our stdin, then tell how much."""
    clerks = Clerks(warehouse, name)
    threads = [threading.Thread(target=_watched, args=(clerks, clerk)) for clerk in range(THREADS)]
    for thread in threads:
        thread.start()
    tell("started")
    wait_for_parent_to_leave()
    clerks.stopping.set()
    for thread in threads:
        thread.join()
    tell("wrote", **clerks.done)


def _watched(clerks: Clerks, clerk: int) -> None:
    try:
        clerks.work(clerk)
    except BaseException as error:
        tell("broke", error=repr(error)[:500])
        raise


def schedule(warehouse: Warehouse) -> None:
    """Schedule until the parent ends."""
    keeper.GRACE_SECONDS = 0.3
    keeper._PAUSE_SECONDS = 0.05
    fast = {"lease_seconds": 1.0, "heartbeat_seconds": 0.2, "claim_lease_seconds": 1.0, "monitor_interval_seconds": 0.2}
    cleaning = {"cleaning_interval_seconds": 0.02, "cleaning_pause_seconds": 0.001}
    scheduler = Scheduler(warehouse.engine, warehouse.outbox, {}, hooks=[tell_of], **fast, **cleaning)  # type: ignore[arg-type]
    scheduler.start()
    tell("started")
    wait_for_parent_to_leave()
    tell("stopped", clean=scheduler.stop(60))


def main() -> None:
    """Be a writer with a name, or a scheduler."""
    plan = Plan.from_environment()
    warehouse = Warehouse(open_engine(make_url(plan.database_url)))
    if sys.argv[1] == "write":
        write(warehouse, sys.argv[2])
    else:
        schedule(warehouse)


if __name__ == "__main__":
    main()
