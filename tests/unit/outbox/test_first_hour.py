"""What a developer in a hurry gets wrong in the first hour is told with the field, the fault and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import MetaData, create_engine, func, select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from asyncflow import AsyncScheduler, Outbox, Scheduler
from asyncflow.errors import AsyncflowError
from asyncflow.integrations.dashboard import UsersFile
from asyncflow.integrations.encryption import decrypt_message
from asyncflow.integrations.flowsvr import Tokens
from asyncflow.integrations.kafka import KafkaPublisher
from asyncflow.integrations.notices import channel_at
from asyncflow.integrations.prometheus import MetricsServer, PrometheusHook
from asyncflow.integrations.zookeeper import ZooKeeper
from asyncflow.scheduler import DeadLetters, engines_from_toml

engine = create_engine("sqlite://")
metadata = MetaData()
outbox = Outbox(metadata)
outbox.message("user.registered")


@outbox.task
def pay(order_id: int, note: str = "") -> None: ...


# Type checkers refuse most of these calls; whoever has none is told when they are made.
loose: Any = outbox
loose_pay: Any = pay
loose_outbox: Any = Outbox
loose_scheduler: Any = Scheduler
loose_kafka: Any = KafkaPublisher
loose_async: Any = AsyncScheduler
loose_letters: Any = DeadLetters
loose_tokens: Any = Tokens
loose_users: Any = UsersFile
loose_engines: Any = engines_from_toml
loose_channel: Any = channel_at
loose_decrypt: Any = decrypt_message
loose_metrics: Any = MetricsServer
registry = CollectorRegistry()


class Base(DeclarativeBase):
    pass


class Pays:
    def __call__(self, order_id: int) -> None: ...


def declared(**options: Any) -> Any:
    return loose.task(**options)


def enqueued(**arguments: Any) -> Callable[[Session], object]:
    return lambda session: loose.enqueue(session, pay, **arguments)


def published(*given: Any, **options: Any) -> Callable[[Session], object]:
    return lambda session: loose.publish(session, *given, **options)


MISTAKES: dict[str, tuple[Callable[[Session], object], str]] = {
    "a text for a number": (enqueued(order_id="1"), "order_id is '1', a str; pay() takes int"),
    "a bool for a number": (enqueued(order_id=True), "order_id is True, a bool; pay() takes int"),
    "an argument left out": (enqueued(), "pay() needs order_id; give order_id=…"),
    "an argument misspelt": (enqueued(ordr_id=1), "did you mean 'order_id'"),
    "an option misspelt": (enqueued(order_id=1, delay_second=3), "did you mean 'delay_seconds'"),
    "an option of options()": (enqueued(order_id=1, max_retries=3), "task.options(max_retries=...).enqueue("),
    "a negative delay": (enqueued(order_id=1, delay_seconds=-1), "delay_seconds is -1; give seconds from 0"),
    "a bool for a delay": (enqueued(order_id=1, delay_seconds=True), "delay_seconds is True; give seconds"),
    "an empty key": (enqueued(order_id=1, key=""), "key is '': empty; give text of 1 to 255 characters"),
    "a time without a zone": (enqueued(order_id=1, run_at=datetime(2026, 1, 1)), "give a datetime with a time zone"),
    "a huge argument": (enqueued(order_id=1, note="x" * 2_000_000), "the limit is 997952; publish a reference"),
    "a type misspelt": (published("user.registred", {}), "did you mean 'user.registered'"),
    "no payload": (published("user.registered"), "payload of 'user.registered' is None; give one"),
    "a key that is None": (published("user.registered", {None: 1}), "payload: Dict key must be str; give"),
    "a number in a header": (published("user.registered", {}, headers={"a": 1}), "header 'a' is 1; give text"),
    "an engine": (lambda _: loose_pay.enqueue(engine, 1), "opened from this Engine"),
    "a sessionmaker": (lambda _: loose_pay.enqueue(sessionmaker(engine), 1), "opened from this sessionmaker"),
    "Celery's verb": (lambda _: loose_pay.delay(order_id=1), "use enqueue(session, ...)"),
    "Celery's verb for Django": (lambda _: loose_pay.delay_on_commit(order_id=1), "use enqueue(session, ...)"),
    "Celery's signature": (lambda _: loose_pay.s(order_id=1), "options(then=other.later(...)).enqueue(session, ...)"),
    "Celery's chord": (lambda _: loose_pay.chord([]), "what waits for several enqueues each and counts them in a row"),
    "Celery's retry": (lambda _: loose_pay.retry(countdown=3), "raise RetryTask(delay_seconds=...) in the handler"),
    "Celery's delay": (enqueued(order_id=1, countdown=3), "it is the option delay_seconds here; it takes "),
    "Celery's time": (lambda _: loose_pay.options(eta=datetime(2026, 1, 1)), "'eta' (it is the option run_at here)"),
    "Celery's retries": (lambda _: declared(autoretry_for=(OSError,)), "each error is tried again; raise RejectTask"),
    "Celery's rate": (lambda _: declared(rate_limit="10/m"), "handlers are bounded by concurrency and"),
    "Dramatiq's backoff": (lambda _: declared(min_backoff=5), "it is retry_interval_seconds here"),
    "a lambda": (lambda _: loose.task(lambda order_id: None), "has no name; use outbox.task('name')(handler)"),
    "an instance": (lambda _: loose.task(Pays()), "has no name; use outbox.task('name')(handler)"),
    "a class": (lambda _: loose.task(Pays), "the class Pays: to call it makes an instance, and does no work"),
    "a name by keyword": (lambda _: declared(name="pay"), "the name comes first: outbox.task('name')"),
    "an option of each task": (lambda _: declared(priority=1), "task.options(priority=...).enqueue(session, ...)"),
    "an option of messages": (lambda _: declared(topic="a"), "'topic' (it is of outbox.message())"),
    "a crontab line": (lambda _: declared(cron="* * * * *"), "outbox.periodic(task, "),
    "another's time limit": (lambda _: declared(timeout=3), "it is max_processing_time_seconds here"),
    "an option of each message": (
        lambda _: loose.message("a", key="b"),
        "outbox.publish(session, type, payload, key=...)",
    ),
    "an option of handlers": (lambda _: loose.message("a", concurrency=1), "it is of outbox.task()"),
    "the declarative base": (lambda _: loose_outbox(Base), "give a MetaData, such as Base.metadata"),
    "two outboxes that differ": (lambda _: loose_outbox(metadata, shard_count=8), "another Outbox on the same tables"),
    "a URL for the engine": (
        lambda _: loose_scheduler("sqlite://", outbox, {}),
        "give an Engine, from create_engine()",
    ),
    "no publishers": (
        lambda _: loose_scheduler(engine, outbox),
        "'user.registered' goes to 'kafka', for which there is no publisher (given: none); add it to publishers={...}",
    ),
    "an address for a publisher": (
        lambda _: loose_scheduler(engine, outbox, {"kafka": "localhost:9092"}),
        "the publisher of 'kafka' is 'localhost:9092'; give",
    ),
    "no address of Kafka": (lambda _: loose_kafka(None), "bootstrap_servers is a NoneType; give host:port"),
    "a URL for Kafka": (lambda _: loose_kafka("kafka://localhost:9092"), "'kafka' is no protocol of Kafka's; give"),
    "an outbox for an engine": (lambda _: loose_letters(outbox, engine), "engine is <asyncflow"),
    "no outbox for an operator": (lambda _: loose_letters(engine, metadata), "outbox is MetaData(); give the Outbox"),
    "an AsyncEngine for an operator": (
        lambda _: loose_letters(create_async_engine("sqlite+aiosqlite://"), outbox),
        "engine is an AsyncEngine, and these statements block",
    ),
    "a file for tokens": (lambda _: loose_tokens("tokens.toml"), "tokens is a str; give Token.of(...) in a list, or"),
    "no file of users": (lambda _: loose_users(None), "the users file is None; give the path of a TOML file"),
    "no file of databases": (lambda _: loose_engines(None), "path is None; give the path of a TOML file"),
    "no URL of a notice": (lambda _: loose_channel(None), "the URL of a notice is a NoneType; give"),
    "a list of headers": (lambda _: loose_decrypt(None, b"", []), "headers is a list; give them by name"),
    "an AsyncScheduler for metrics": (
        lambda _: loose_metrics(AsyncScheduler(create_async_engine("sqlite+aiosqlite:///a.db"), Outbox(MetaData())), 0),
        "scheduler is an AsyncScheduler; give its .scheduler",
    ),
    "an AsyncScheduler without asyncio": (
        lambda _: (
            loose_async(create_async_engine("sqlite+aiosqlite:///a.db"), Outbox(MetaData())).__aenter__().send(None)
        ),
        "no event loop of asyncio runs here; start an AsyncScheduler on one, or run a Scheduler on a thread",
    ),
    "two hooks of one registry": (
        lambda _: [PrometheusHook(registry) for _ in range(2)],
        "the registry has the metrics of another PrometheusHook already; share that one",
    ),
    "a URL for ZooKeeper": (lambda _: ZooKeeper("zk://localhost:2181"), "give text, such as 'zk1:2181"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_the_first_hour_is_told_with_its_remedy_and_writes_nothing(mistake: str) -> None:
    make, told = MISTAKES[mistake]
    metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        with pytest.raises((AsyncflowError, AttributeError)) as refused:
            make(session)
        assert told in str(refused.value)
        assert session.scalar(select(func.count()).select_from(outbox.tasks)) == 0


def test_two_outboxes_that_agree_may_share_their_tables() -> None:
    assert Outbox(metadata).tasks is outbox.tasks


def test_handlers_alone_need_no_publishers() -> None:
    own = Outbox(MetaData())
    own.task("pay")(pay.handler)
    assert Scheduler(engine, own).outbox is own
