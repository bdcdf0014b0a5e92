"""A process whose handlers do their tasks, or hold them until it is killed: ``python -m … URL work|hold``."""

from __future__ import annotations

import sys
import threading

from sqlalchemy import BigInteger, Column, Engine, Integer, MetaData, String, Table, create_engine, insert

from asyncflow import Outbox, Scheduler, TaskContext

AT_WORK = 4  # tasks of "begun" in one process, all of which begin at their claim
metadata = MetaData()
outbox = Outbox(metadata)
done = Table(
    "done",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("task_type", String(20), nullable=False),
    Column("number", Integer, nullable=False),  # not unique: what is done twice must be seen
    Column("attempt", Integer, nullable=False),
)


class Work:
    """Write down what is done; one that holds never comes so far."""

    engine: Engine
    holds = False

    @classmethod
    def do(cls, number: int, ctx: TaskContext) -> None:
        """Do a task."""
        if cls.holds:
            threading.Event().wait()
        with cls.engine.begin() as connection:
            connection.execute(insert(done).values(task_type=ctx.task_type, number=number, attempt=ctx.attempt))


@outbox.task(concurrency=1, limit=40, max_retries=0)
def waiting(number: int, ctx: TaskContext) -> None:
    """Wait in the process for one's turn, and be allowed no second attempt."""
    Work.do(number, ctx)


@outbox.task(concurrency=AT_WORK)
def begun(number: int, ctx: TaskContext) -> None:
    """Begin as soon as claimed."""
    Work.do(number, ctx)


if __name__ == "__main__":
    Work.engine, Work.holds = create_engine(sys.argv[1]), sys.argv[2] == "hold"
    with Scheduler(Work.engine, outbox, {}) as scheduler:
        scheduler.wait()
