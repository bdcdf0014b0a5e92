"""The queue on a real Redis: what each queue has to hold, streams that stay short, and a server that goes away."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import Engine

from asyncflow import Status
from asyncflow.errors import OptionError, UnreachableError
from asyncflow.events import StepFailed
from asyncflow.integrations.redis import RedisQueue
from asyncflow.scheduler.task_queue import Parcel
from tests.integration.scheduler.queues.suite import QUEUE, Office, QueueSuite, wait_until
from tests.support.meddled_queue import MeddledQueue
from tests.support.proxy import CuttingProxy


@pytest.fixture
def namespace(redis_url: str) -> Iterator[str]:
    import redis

    name = f"test-{secrets.token_hex(6)}"
    yield name
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"{name}:*"):
            client.delete(key)


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        yield client


class TestRedisQueue(QueueSuite):
    @pytest.fixture
    def queue(self, redis_url: str, namespace: str) -> MeddledQueue:
        return MeddledQueue(RedisQueue(redis_url, credits=3, namespace=namespace))


def test_streams_are_empty_when_all_is_done(sqlite_engine: Engine, redis_url: str, namespace: str, client: Any) -> None:
    with ExitStack() as until:
        office = Office(sqlite_engine, RedisQueue(redis_url, namespace=namespace), until)
        office.schedule()
        office.work()
        office.enqueue(office.issue, *range(20, 220))
        wait_until(lambda: office.count(Status.SUCCESS) == 200)
        streams = [f"{namespace}:{{{QUEUE}}}:tasks:issue", f"{namespace}:{{{QUEUE}}}:notes"]
        wait_until(lambda: [client.xlen(stream) for stream in streams] == [0, 0])
        assert len(set(office.done)) == 200


def test_what_nobody_takes_in_time_is_cut_off(redis_url: str, namespace: str, client: Any) -> None:
    line = RedisQueue(redis_url, namespace=namespace).sending(QUEUE)
    stream = f"{namespace}:{{{QUEUE}}}:tasks:issue"
    for _ in range(5):
        line.send([Parcel("issue", b"x", 0.001)] * 200)
        time.sleep(0.002)  # longer than they are of use
    assert client.xlen(stream) < 1000
    line.close()


def test_a_letter_that_lay_for_longer_than_its_claim_lasts_is_not_worked_on(redis_url: str, namespace: str) -> None:
    queue = RedisQueue(redis_url, namespace=namespace)
    sending, taking = queue.sending(QUEUE), queue.taking(QUEUE)
    sending.send([Parcel("issue", b"x", 30.0)])
    time.sleep(0.2)
    (arrival,) = taking.take({"issue": 1, "other": 2}, 5.0)
    assert arrival.seconds_on_way >= 0.2
    sending.close()
    taking.close()


def test_a_server_that_lost_all_it_had_costs_no_task(
    sqlite_engine: Engine, redis_url: str, namespace: str, client: Any
) -> None:
    with ExitStack() as until:
        office = Office(sqlite_engine, RedisQueue(redis_url, credits=5, namespace=namespace), until)
        office.enqueue(office.issue, *range(20, 40))
        office.schedule()
        wait_until(lambda: office.count(Status.PROCESSING) == 5)
        for key in client.scan_iter(f"{namespace}:*"):
            client.delete(key)
        office.work()
        office.let_claims_run_out()
        wait_until(lambda: office.count(Status.SUCCESS) == 20)
        assert {row.retry_count for row in office.rows()} == {1}


def test_a_server_that_goes_away_for_a_while_holds_up_and_loses_nothing(
    sqlite_engine: Engine, redis_url: str, namespace: str
) -> None:
    host, port = redis_url.removeprefix("redis://").partition("/")[0].split(":")
    proxy = CuttingProxy((host, int(port)))
    with ExitStack() as until:
        until.callback(proxy.close)
        queue = RedisQueue(redis_url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}"), namespace=namespace)
        office = Office(sqlite_engine, queue, until)
        office.schedule()
        office.work()
        office.enqueue(office.issue, *range(20, 30))
        wait_until(lambda: office.count(Status.SUCCESS) == 10)
        proxy.refuse()
        proxy.reset()
        office.enqueue(office.issue, *range(30, 40))
        office.signals.wait_for(StepFailed)
        proxy.refuse(False)
        wait_until(lambda: office.count(Status.SUCCESS) == 20)


def test_a_server_that_is_not_there_is_named(namespace: str) -> None:
    line = RedisQueue("redis://127.0.0.1:1/0", namespace=namespace).telling(QUEUE)
    with pytest.raises(UnreachableError, match=r"Redis at 127.0.0.1:1"):
        line.tell([b"x"])


@pytest.mark.parametrize(
    ("options", "told"),
    [({"credits": 0}, "credits is 0"), ({"namespace": ""}, "namespace"), ({"client_options": {"retry": 1}}, "retry")],
    ids=["credits", "namespace", "client"],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], told: str) -> None:
    pytest.importorskip("redis")
    with pytest.raises(OptionError, match=told):
        RedisQueue("redis://127.0.0.1:1/0", **options)
