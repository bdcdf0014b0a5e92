"""All shards of an instance are due to others at once: what it has in hand must not keep them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, select

from asyncflow import Scheduler, Status
from asyncflow.scheduler import Outcome, Record
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.publishers import LONG, ids_of
from tests.integration.scheduler.relay.test_locked_rows import OPTIONS, locked, settled
from tests.integration.scheduler.relay.test_settling_beside import before_settling_beside
from tests.integration.scheduler.writing import publish_many, texts
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


# No lease runs out: what is not handed over stays.
UNTIL_HANDED_OVER = {**OPTIONS, "lease_seconds": 600.0}


class Heir:
    """Be a strategy that gives everything to the instance that is named, if it is there."""

    def __init__(self) -> None:
        self.name: str | None = None

    def __call__(
        self, job_name: str, members: Sequence[str], item_count: int, owners: Mapping[int, str]
    ) -> dict[str, Collection[int]]:
        heir = self.name if self.name in members else next(iter(members), None)
        return {} if heir is None else {heir: range(item_count)}


class UntilLeaving(MemoryPublisher):
    """Hold a batch, once asked to, until its scheduler may work on no shard any more."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = threading.Event()
        self.held = threading.Event()
        self.scheduler: Scheduler | None = None

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        scheduler = self.scheduler
        if scheduler is not None and self.holds.is_set():
            self.held.set()
            eventually(lambda: not scheduler.ownership.epochs())
        return super().publish(batch)


def test_what_is_settled_beside_keeps_no_shard_when_all_of_them_leave(engine: Engine) -> None:
    application, heir = Application(engine, shard_count=4), Heir()
    ids = publish_many(application, 2000)
    first, second = UntilLeaving(), MemoryPublisher()
    options = {**UNTIL_HANDED_OVER, "sharding_strategy": heir, "round_size": 100}
    former = first.scheduler = application.scheduler(first, **options)
    with ExitStack() as started:
        started.enter_context(before_settling_beside(engine, first.holds.set))
        started.enter_context(former)
        assert first.held.wait(LONG)
        successor = application.scheduler(second, **options)
        heir.name = successor.ownership.owner
        started.enter_context(successor)
        eventually(lambda: settled(application, 2000))
        assert second.records
        assert sorted(ids_of(first) + ids_of(second)) == sorted(texts(ids))


def test_a_locked_row_keeps_no_shard_when_all_of_them_leave(engine: Engine) -> None:
    application, heir = Application(engine, shard_count=2), Heir()
    ids = publish_many(application, 20)
    tasks = application.outbox.tasks
    options = {**UNTIL_HANDED_OVER, "sharding_strategy": heir}
    former, second = application.scheduler(**options), MemoryPublisher()
    with ExitStack() as started:
        row_lock = started.enter_context(ExitStack())
        row_lock.enter_context(locked(engine, select(tasks.c.id).where(tasks.c.id == ids[0])))
        started.enter_context(former)
        eventually(lambda: application.statuses().count(Status.SUCCESS) == 19)
        successor = application.scheduler(second, **options)
        heir.name = successor.ownership.owner
        started.enter_context(successor)
        eventually(successor.ownership.epochs)
        publish_many(application, 20)
        eventually(lambda: application.statuses().count(Status.SUCCESS) == 39)
        assert len(second.records) >= 20
        row_lock.close()
        eventually(lambda: settled(application, 40))
