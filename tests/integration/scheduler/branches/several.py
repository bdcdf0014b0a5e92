"""An application that is spread over several databases, and the schedulers that serve them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from asyncflow import Scheduler, Status
from asyncflow.events import Hook
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application
from tests.support.databases import fresh_database, open_engine
from tests.unit.scheduler.waiting import eventually

LONG = 120.0


class Several:
    """Have the usual application in each of some databases, by their names; ``engines`` are an application's own."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self.engines = dict(engines)
        self.application = Application(next(iter(engines.values())))
        self.outbox, self.signals = self.application.outbox, self.application.signals
        self.publisher = MemoryPublisher()
        self.hooks: list[Hook] = []  # of schedulers that are made from now on
        for engine in engines.values():
            self.application.Base.metadata.create_all(engine)

    def scheduler(
        self, engines: Mapping[str, Engine] | None = None, publisher: Any = None, **options: Any
    ) -> Scheduler:
        """Return a scheduler of all databases, or by other engines."""
        given = publisher or self.publisher
        publishers = given if isinstance(given, dict) else {"kafka": given}
        return Scheduler(engines or self.engines, self.outbox, publishers, hooks=[self.signals, *self.hooks], **options)

    def publish(self, name: str, count: int = 1) -> None:
        """Publish messages in the database of that name, which each tells of."""
        with Session(self.engines[name]) as session, session.begin():
            for number in range(count):
                self.outbox.publish(session, "user.registered", {"of": name, "n": number})

    def sent(self, name: str) -> int:
        """Return how many messages of that database the publisher has."""
        mark = f'"of":"{name}"'.encode()
        return sum(mark in (record.value or b"") for record in list(self.publisher.records))

    def wait_for_sent(self, name: str, count: int) -> None:
        eventually(lambda: self.sent(name) >= count, LONG)

    def wait_for_settled(self, name: str, count: int) -> None:
        eventually(lambda: self.settled(name) == count, LONG)

    def settled(self, name: str) -> int:
        """Return how many of its tasks are SUCCESS."""
        tasks = self.outbox.tasks
        with self.engines[name].connect() as connection:
            done = select(func.count()).select_from(tasks).where(tasks.c.status == Status.SUCCESS)
            return connection.scalar(done) or 0


@contextmanager
def several(kind: str, directory: Path, count: int = 3) -> Iterator[Several]:
    """Give the application in so many new databases of one kind: db0, db1 and so on."""
    with ExitStack() as until:
        engines = {}
        for number in range(count):
            own = directory / f"db{number}"
            own.mkdir()
            engine = open_engine(until.enter_context(fresh_database(kind, own)))
            until.callback(engine.dispose)
            engines[f"db{number}"] = engine
        yield Several(engines)
