"""What every application under test has: its engine, its outbox, and counts of its messages."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Engine, MetaData, func, select

from asyncflow import Outbox, Status


class Business:
    """Have an outbox among an application's own tables."""

    def __init__(self, engine: Engine, metadata: MetaData) -> None:
        self.engine = engine
        self.metadata = metadata
        self.outbox = Outbox(metadata)

    def create_tables(self) -> None:
        self.metadata.create_all(self.engine)

    def unsettled(self) -> int:
        """Return how many messages still wait or are at work."""
        return self.count(Status.PENDING, Status.PROCESSING)

    def are_settled(self, ids: Collection[str]) -> bool:
        """Tell whether none of these messages waits any more, to be published again."""
        tasks = self.outbox.tasks
        its = tasks.c.id.in_([UUID(one) for one in ids]), tasks.c.status == int(Status.PENDING)
        with self.engine.connect() as connection:
            return connection.execute(select(tasks.c.id).where(*its).limit(1)).first() is None

    def count(self, *statuses: Status) -> int:
        """Return how many messages have one of the statuses."""
        tasks = self.outbox.tasks
        wanted = select(func.count()).select_from(tasks).where(tasks.c.status.in_([int(one) for one in statuses]))
        with self.engine.connect() as connection:
            return connection.execute(wanted).scalar_one()
