"""What a person changes takes effect once and is told exactly, though the answer of any COMMIT is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, delete, func, select, update

from asyncflow import Call, Outbox, Status
from asyncflow.scheduler import DeadLetters, Selection
from asyncflow.scheduler.cluster.resharding.reshard import reshard
from asyncflow.scheduler.configuration.configurations import Configurations
from tests.integration.conftest import Network
from tests.support.databases import open_engine
from tests.support.proxy import Proxy

on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
COUNT = 3


class Office:
    """Have an outbox with some dead letters, and an engine that leads through a network which can lose answers."""

    def __init__(self, engine: Engine, through: Engine, proxy: Proxy) -> None:
        self.engine, self.through, self._proxy = engine, through, proxy
        self.outbox = Outbox(MetaData())
        self.outbox.task("coupon.issue")(lambda account_no: None)
        self.outbox.tasks.metadata.create_all(engine)

    def fail_some(self) -> None:
        with self.engine.begin() as connection:
            for table in (self.outbox.tasks, self.outbox.audit_entries, self.outbox.schedule_cfgs):
                connection.execute(delete(table))
            self.outbox.enqueue_many(connection, "coupon.issue", [Call({"account_no": "A"})] * COUNT)
            connection.execute(update(self.outbox.tasks).values(status=int(Status.FAILED), shard=1))

    def each_lost(self, work: Callable[[], Any]) -> Iterator[Any]:
        """Give what ``work`` returns when the answer to its first, second, ... commit is lost."""
        for _ in self._proxy.each_lost():
            self.fail_some()
            yield work()

    def rows(self, table: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(select(table)).all()


@pytest.fixture
def office(network: Network) -> Iterator[Office]:
    through = open_engine(network.url)
    yield Office(network.past, through, network.proxy)
    through.dispose()


@on_servers
@pytest.mark.parametrize(
    ("verb", "status"), [("replay", Status.PENDING), ("cancel", Status.CANCELLED), ("discard", None)]
)
def test_dead_letters_are_changed_and_audited_once(office: Office, verb: str, status: Status | None) -> None:
    letters = DeadLetters(office.through, office.outbox)
    act = getattr(letters, verb)
    for changed in office.each_lost(lambda: act(Selection(task_type="coupon.issue"), actor="ann")):
        assert changed.count == COUNT
        rows = office.rows(office.outbox.tasks)
        assert [row.status for row in rows] == ([] if status is None else [int(status)] * COUNT)
        assert [row.action for row in office.rows(office.outbox.audit_entries)] == [verb] * COUNT


@on_servers
def test_a_configuration_is_set_and_removed_once(office: Office) -> None:
    configurations = Configurations(office.through, office.outbox)
    for config in office.each_lost(lambda: configurations.put("coupon.issue", max_retries=7)):
        assert config.max_retries == 7

    def put_and_remove() -> bool:
        Configurations(office.engine, office.outbox).put("coupon.issue", max_retries=7)
        return configurations.remove("coupon.issue")

    for was_there in office.each_lost(put_and_remove):
        assert was_there
        assert office.rows(office.outbox.schedule_cfgs) == []


@on_servers
def test_a_reshard_counts_each_row_that_it_moved(office: Office) -> None:
    for moved in office.each_lost(lambda: reshard(office.through, office.outbox)):
        shards = [row.shard for row in office.rows(office.outbox.tasks)]
        assert moved == sum(shard != 1 for shard in shards)
    with office.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(office.outbox.shards)).scalar() == 64
