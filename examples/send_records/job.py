"""The job: send what is to be sent of ``msg_send_record``, each instance its items of the table.

asyncflow run examples.send_records.job:scheduler
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sqlalchemy import create_engine, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from asyncflow import DataflowJob, Outbox, Scheduler, ShardingContext

PENDING, SENT = 0, 1


class Base(DeclarativeBase):
    """Hold the application's table, and asyncflow's own beside it."""


class Record(Base):
    """Be one message that the application has to send."""

    __tablename__ = "msg_send_record"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    status: Mapped[int] = mapped_column(default=PENDING)


class SendRecords(DataflowJob[ShardingContext, Sequence[Record]]):
    """Fetch a page of the item's records, send them, mark them; again until none are left."""

    def fetch_data(self, context: ShardingContext) -> Sequence[Record]:
        """Return up to a hundred pending records of the item: id modulo the number of items."""
        mine = Record.id % context.sharding_total_count == context.sharding_item
        with Session(engine) as session:
            page = select(Record).where(Record.status == PENDING, mine).order_by(Record.id).limit(100)
            return session.scalars(page).all()

    def process_data(self, context: ShardingContext, data: Sequence[Record]) -> None:
        """Send the records and mark them."""
        for record in data:
            print(f"item {context.sharding_item} sends {record.text!r}")
        with Session(engine) as session, session.begin():
            sent = [record.id for record in data]
            session.execute(update(Record).where(Record.id.in_(sent)).values(status=SENT))


engine = create_engine(os.environ.get("RECORDS_DATABASE_URL", "sqlite:///records.db"))
outbox = Outbox(Base.metadata)
job = SendRecords("send-records", cron="*/5 * * * * *", sharding_total_count=3, streaming_process=True)


def scheduler() -> Scheduler:
    """Make the scheduler; it publishes nothing, so it needs no publisher."""
    return Scheduler(engine, outbox, publishers={}, jobs=[job])
