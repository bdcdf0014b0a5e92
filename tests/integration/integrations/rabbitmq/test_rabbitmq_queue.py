"""The queue on a real RabbitMQ: what each queue has to hold, what lies too long, and a broker that goes away."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Engine

from asyncflow import Status
from asyncflow.errors import OptionError, UnreachableError
from asyncflow.events import StepFailed
from asyncflow.integrations.rabbitmq import RabbitMQQueue
from asyncflow.scheduler.task_queue import Parcel
from tests.integration.scheduler.queues.suite import QUEUE, Office, QueueSuite, wait_until
from tests.support.meddled_queue import MeddledQueue
from tests.support.proxy import CuttingProxy


@pytest.fixture
def namespace(rabbitmq_url: str) -> Iterator[str]:
    import pika

    name = f"test-{secrets.token_hex(6)}"
    yield name
    with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
        channel = connection.channel()
        for queue in ("tasks.issue", "tasks.slow", "notes"):
            with suppress(pika.exceptions.AMQPError):
                channel.queue_delete(f"{name}.{QUEUE}.{queue}")


class TestRabbitMQQueue(QueueSuite):
    @pytest.fixture
    def queue(self, rabbitmq_url: str, namespace: str) -> MeddledQueue:
        return MeddledQueue(RabbitMQQueue(rabbitmq_url, credits=3, namespace=namespace))


def test_what_lies_for_most_of_its_claim_is_not_given_out_any_more(rabbitmq_url: str, namespace: str) -> None:
    queue = RabbitMQQueue(rabbitmq_url, namespace=namespace)
    sending, taking = queue.sending(QUEUE), queue.taking(QUEUE)
    sending.send([Parcel("issue", b"short", 0.1), Parcel("issue", b"long", 600.0)])
    time.sleep(0.2)
    (arrival,) = taking.take({"issue": 5}, 30.0)
    assert arrival.body == b"long"
    assert arrival.seconds_on_way == pytest.approx(540.0)
    sending.close()
    taking.close()


def test_what_was_not_acknowledged_comes_again_by_another_connection(rabbitmq_url: str, namespace: str) -> None:
    queue = RabbitMQQueue(rabbitmq_url, namespace=namespace)
    telling, first, second = queue.telling(QUEUE), queue.collecting(QUEUE, "a"), queue.collecting(QUEUE, "b")
    telling.tell([b"one", b"two"])
    notes = first.collect(10, 30.0)
    assert [note.body for note in notes] == [b"one", b"two"]
    first.acknowledge([notes[0].handle])
    first.close()
    assert [note.body for note in second.collect(10, 30.0)] == [b"two"]
    second.acknowledge([notes[1].handle])  # of the other connection: nothing of this one's
    second.close()
    telling.close()


def test_a_broker_that_goes_away_for_a_while_holds_up_and_loses_nothing(
    sqlite_engine: Engine, rabbitmq_url: str, namespace: str
) -> None:
    parts = urlsplit(rabbitmq_url)
    proxy = CuttingProxy((str(parts.hostname), int(parts.port or 0)))
    with ExitStack() as until:
        until.callback(proxy.close)
        url = rabbitmq_url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{proxy.port}")
        office = Office(sqlite_engine, RabbitMQQueue(url, namespace=namespace), until)
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


def test_a_broker_that_is_not_there_is_told(namespace: str) -> None:
    line = RabbitMQQueue("amqp://guest:guest@127.0.0.1:1/", namespace=namespace).telling(QUEUE)
    with pytest.raises(UnreachableError, match=r"RabbitMQ at 127\.0\.0\.1:1: "):
        line.tell([b"x"])


def test_options_that_cannot_be_are_refused() -> None:
    pytest.importorskip("pika")
    with pytest.raises(OptionError, match="credits is 0"):
        RabbitMQQueue("amqp://127.0.0.1:1/", credits=0)
    with pytest.raises(OptionError, match="a URL begins with 'redis'"):
        RabbitMQQueue("redis://127.0.0.1:1/")
