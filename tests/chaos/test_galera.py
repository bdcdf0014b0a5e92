"""On a cluster of Galera nothing is lost: schedulers at several nodes, conflicts at a commit, a killed node."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, select, text, update
from sqlalchemy.orm import Session

from asyncflow import Message, Scheduler, Status
from asyncflow.scheduler.connections.database import Database
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.publishers import ids_of
from tests.support.application import Application
from tests.support.galera import Node, galera
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.long
OPTIONS: dict[str, Any] = {"lease_seconds": 4.0, "heartbeat_seconds": 0.5, "tick": 0.2}


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[Node]]:
    """Give a cluster of three: of two, the one that is left after a kill has no majority."""
    with galera(3) as nodes:
        yield nodes


@pytest.fixture
def engines(nodes: list[Node]) -> Iterator[list[Engine]]:
    """Give an engine on each node."""
    with ExitStack() as until:
        engines = [create_engine(node.url, max_overflow=30) for node in nodes]
        for engine in engines:
            until.callback(engine.dispose)
        yield engines


@pytest.fixture
def application(engines: list[Engine]) -> Iterator[Application]:
    """Give an application that writes at the first node; its tables are made anew."""
    application = Application(engines[0])
    yield application
    application.Base.metadata.drop_all(engines[0])


def publish_at(engine: Engine, application: Application, count: int) -> list[Any]:
    messages = [Message({"n": number}) for number in range(count)]
    with Session(engine) as session, session.begin():
        return application.outbox.publish_many(session, "user.registered", messages)


def counts_at(engine: Engine, application: Application) -> dict[int, int]:
    """Count tasks by status, as all nodes have them by now."""
    with engine.connect() as connection:
        connection.execute(text("SET SESSION wsrep_sync_wait = 7"))
        connection.rollback()
        return dict(Counter(connection.execute(select(application.outbox.tasks.c.status)).scalars()))


def test_schedulers_at_each_node_share_the_work_and_lose_nothing(
    engines: list[Engine], application: Application
) -> None:
    publishers = [MemoryPublisher() for _ in engines]
    ids: list[Any] = []
    with ExitStack() as until:
        for engine, publisher in zip(engines, publishers, strict=True):
            until.enter_context(Scheduler(engine, application.outbox, {"kafka": publisher}, **OPTIONS))
        for engine in engines * 3:
            ids += publish_at(engine, application, 100)
        eventually(lambda: counts_at(engines[0], application) == {Status.SUCCESS: len(ids)})
    sent = [one for publisher in publishers for one in ids_of(publisher)]
    assert set(sent) == set(map(str, ids))


def test_a_transaction_of_the_run_side_begins_with_what_all_nodes_have_committed(engines: list[Engine]) -> None:
    waits = text("SELECT @@SESSION.wsrep_sync_wait")
    with engines[1].connect() as connection:
        before = connection.execute(waits).scalar_one()
    with Database(engines[1]) as database:
        assert database.run(lambda connection: connection.execute(waits).scalar_one()) == 7
    with engines[1].connect() as connection:
        assert connection.execute(waits).scalar_one() == before


def test_a_transaction_that_loses_at_its_commit_is_run_again(engines: list[Engine], application: Application) -> None:
    with application.session() as session, session.begin():
        session.add(application.User(account_no="A", name="0"))
    both = threading.Barrier(2)
    tries: Counter[int] = Counter()

    def add_one_at(number: int) -> None:
        users = application.users

        def work(connection: Connection) -> None:
            tries[number] += 1
            name = connection.execute(select(users.c.name)).scalar_one()
            connection.execute(update(users).values(name=str(int(name) + 1)))
            if tries[number] == 1:
                both.wait(60)  # now both have changed it, each at its own node, where nobody else has it locked

        with Database(engines[number]) as database:
            database.run(work)

    with ThreadPoolExecutor(2) as threads:
        for one in [threads.submit(add_one_at, number) for number in (0, 1)]:
            one.result(120)
    with engines[2].connect() as connection:
        connection.execute(text("SET SESSION wsrep_sync_wait = 7"))
        connection.rollback()
        assert connection.execute(select(application.users.c.name)).scalar_one() == "2"
    assert sum(tries.values()) > 2


def test_handlers_have_their_effect_once_for_each_task_at_whichever_node(
    engines: list[Engine], application: Application
) -> None:
    @application.outbox.task(transactional=True, max_retries=20, retry_interval_seconds=0, max_retry_interval_seconds=0)
    def register(session: Session, account_no: str) -> None:
        session.add(application.User(account_no=account_no))

    with application.session() as session, session.begin():
        for number in range(90):
            register.enqueue(session, account_no=f"A{number}")
    with ExitStack() as until:
        for engine in engines:
            publishers = {"kafka": MemoryPublisher()}
            until.enter_context(Scheduler(engine, application.outbox, publishers, **OPTIONS))
        eventually(lambda: counts_at(engines[0], application) == {Status.SUCCESS: 90})
    assert len(application.rows(select(application.users))) == 90


def test_when_a_node_is_killed_the_others_go_on_and_lose_nothing(
    nodes: list[Node], engines: list[Engine], application: Application
) -> None:
    publishers = [MemoryPublisher() for _ in engines]
    schedulers = [
        Scheduler(engine, application.outbox, {"kafka": publisher}, **OPTIONS)
        for engine, publisher in zip(engines, publishers, strict=True)
    ]
    try:
        for scheduler in schedulers:
            scheduler.start()
        ids = publish_at(engines[0], application, 300)
        eventually(lambda: counts_at(engines[0], application).get(Status.SUCCESS, 0) > 0)
        nodes[2].kill()
        ids += publish_at(engines[1], application, 300)
        eventually(lambda: counts_at(engines[0], application) == {Status.SUCCESS: len(ids)})
    finally:
        for scheduler in schedulers:
            scheduler.stop(timeout_seconds=10)
        nodes[2].start()
    sent = {one for publisher in publishers for one in ids_of(publisher)}
    assert sent == set(map(str, ids))
