"""Priority over all shards: what is taken first is what has the earliest order_time, whatever shard it is in."""

from __future__ import annotations

import random
from bisect import bisect_right, insort
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, select

from asyncflow import Call, Message, Scheduler, Status
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.service_claims import ServiceClaims
from asyncflow.scheduler.worker.crew import Crew
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.publishers import ids_of
from tests.support.application import Application

SHARDS = [1, 7, 64, 300]


def shuffled(count: int, step: int = 100) -> list[int]:
    """Return priorities from 0 in steps, in no order."""
    return random.Random(count).sample(range(0, count * step, step), count)


def publish(application: Application, priorities: Iterable[int], task_type: str = "user.registered") -> None:
    messages = [Message({"priority": priority}, priority=priority) for priority in priorities]
    with application.session() as session, session.begin():
        application.outbox.publish_many(session, task_type, messages)


def enqueue(application: Application, priorities: Iterable[int]) -> None:
    with application.session() as session, session.begin():
        calls = [Call({"number": priority}, priority=priority) for priority in priorities]
        application.outbox.enqueue_many(session, "rank", calls)


def working(application: Application, **options: Any) -> list[int]:
    """Declare a handler; return the priorities that it is given, in order."""
    given: list[int] = []

    @application.outbox.task("rank", **options)
    def rank(number: int) -> None:
        given.append(number)

    return given


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the priorities of tasks in the order in which hands are to take them; when a hand gets to run is luck."""
    noted: list[int] = []
    take = Crew.take

    def note(crew: Crew, claims: Iterable[Claim]) -> None:
        claims = list(claims)
        noted.extend(orjson.loads(claim.task.payload or b"")["number"] for claim in claims)
        take(crew, claims)

    monkeypatch.setattr(Crew, "take", note)
    return noted


def times(application: Application) -> dict[str, Any]:
    """Return the order_time of each pending row."""
    tasks = application.outbox.tasks
    rows = application.rows(select(tasks.c.id, tasks.c.order_time).where(tasks.c.status == int(Status.PENDING)))
    return {str(row.id): row.order_time for row in rows}


def most_overtaken(taken: Iterable[Any]) -> int:
    """Return how many later ones were taken before the one that was overtaken by most."""
    seen: list[Any] = []
    most = 0
    for moment in taken:
        most = max(most, len(seen) - bisect_right(seen, moment))
        insort(seen, moment)
    return most


@pytest.mark.parametrize("shard_count", SHARDS)
def test_a_relay_publishes_in_the_order_of_priority_over_all_shards(
    engine: Engine, made: list[Scheduler], shard_count: int
) -> None:
    application = Application(engine, shard_count=shard_count)
    publish(application, shuffled(64))
    lanes = len({row.shard for row in application.rows()})
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher))
    made[0].drain()
    sent = [orjson.loads(record.value or b"")["priority"] for record in publisher.records]
    # The first round takes the head of each lane. Of many lanes the next ones read a part each, as others are being
    # settled: a row may be overtaken by others of such a round, which has no more than was left.
    assert most_overtaken([-priority for priority in sent]) <= (64 - lanes if shard_count >= 64 else 0)
    assert len(sent) == 64


@pytest.mark.parametrize("shard_count", SHARDS)
def test_a_worker_that_does_one_task_at_a_time_does_the_most_urgent_one(
    engine: Engine, made: list[Scheduler], shard_count: int
) -> None:
    application = Application(engine, shard_count=shard_count)
    given = working(application, concurrency=1)
    enqueue(application, shuffled(64))
    made.append(application.scheduler())
    made[0].drain()
    assert given == sorted(shuffled(64), reverse=True)


@pytest.mark.parametrize(("most", "shard_count"), [(1, 7), (1, 64), (5, 1), (5, 300), (64, 7), (64, 300)])
def test_a_hold_takes_the_most_urgent_ones(engine: Engine, shard_count: int, most: int) -> None:
    application = Application(engine, shard_count=shard_count)
    working(application)
    enqueue(application, shuffled(64))
    claims = ServiceClaims(application.outbox, engine, deletes=False)
    held: list[int] = []
    while len(held) < 64:
        with engine.begin() as connection:
            found = claims.hold(connection, "ann", {"rank": most}, 60)
        held += [orjson.loads(claim.task.payload or b"")["number"] for claim in found]
    assert most_overtaken([-priority for priority in held]) < most
    assert sorted(held) == sorted(shuffled(64))


# Rounds of fewer rows than there are lanes, of about as many, and of more.
@pytest.mark.parametrize(("round_size", "shard_count"), [(10, 7), (10, 300), (100, 1), (100, 64), (500, 7), (500, 300)])
def test_nobody_is_overtaken_by_more_than_the_rounds_that_read_each_shard_once(
    engine: Engine, made: list[Scheduler], shard_count: int, round_size: int
) -> None:
    application = Application(engine, shard_count=shard_count)
    application.outbox.message("other")
    chance = random.Random(shard_count)
    for name in ("user.registered", "other"):
        publish(application, [chance.randrange(10_000) for _ in range(800)], name)
    due = times(application)
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher, round_size=round_size))
    made[0].drain()
    assert sorted(ids_of(publisher)) == sorted(due)
    for topic in ("user.registered", "other"):
        taken = [
            due[each]
            for each, record in zip(ids_of(publisher), publisher.records, strict=True)
            if record.topic == topic
        ]
        # 32 places for each type; half of the shards while a round is settled beside the next one.
        assert most_overtaken(taken) <= round_size / 2 * max(2, -(-shard_count // 32))


@pytest.mark.parametrize("concurrency", [2, 10])
@pytest.mark.parametrize("shard_count", [7, 64])
def test_a_worker_is_never_a_round_of_claims_out_of_order(
    engine: Engine, made: list[Scheduler], queued: list[int], shard_count: int, concurrency: int
) -> None:
    application = Application(engine, shard_count=shard_count)
    given = working(application, concurrency=concurrency)
    enqueue(application, shuffled(400, 10))
    made.append(application.scheduler())
    made[0].drain()
    assert most_overtaken([-priority for priority in queued]) <= 2 * concurrency
    assert sorted(given) == sorted(queued) == sorted(shuffled(400, 10))


def test_a_shard_of_urgent_tasks_goes_before_the_shards_of_others(engine: Engine, made: list[Scheduler]) -> None:
    application = Application(engine, shard_count=8)
    publish(application, [0] * 800)
    tasks = application.outbox.tasks
    publish(application, [7200] * 400)
    with engine.begin() as connection:
        connection.execute(tasks.update().where(tasks.c.priority == 7200).values(shard=3))
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher, round_size=50))
    made[0].drain()
    taken = [-orjson.loads(record.value or b"")["priority"] for record in publisher.records]
    assert len(taken) == 1200
    assert most_overtaken(taken) <= 2 * 50


def test_what_becomes_urgent_while_a_backlog_streams_is_taken_next(engine: Engine, made: list[Scheduler]) -> None:
    application = Application(engine, shard_count=64)
    publish(application, [0] * 2000)
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher, round_size=100))
    relay = made[0].relays[0]
    made[0].ownership.acquire()
    relay.step()
    publish(application, [3600])
    relay._fetcher._recent.forget()  # in place of half a second
    for _ in range(3):
        relay.step()
    assert any(record.value == b'{"priority":3600}' for record in publisher.records)


def test_late_rows_are_reached_although_urgent_ones_keep_coming(engine: Engine, made: list[Scheduler]) -> None:
    """An urgent one is ahead by its priority, in seconds, and no more: what was enqueued longer ago comes first."""
    application = Application(engine, shard_count=64)
    publish(application, [60] * 200)
    publish(application, [0])
    tasks = application.outbox.tasks
    publisher = MemoryPublisher()
    made.append(application.scheduler(publisher, round_size=50))
    made[0].ownership.acquire()
    for number in range(20):
        publish(application, [60 - 10 * number if number < 6 else 0] * 40)
        made[0].relays[0].step()
    made[0].drain()
    assert {row.status for row in application.rows(select(tasks.c.status))} == {int(Status.SUCCESS)}
    place = next(n for n, record in enumerate(publisher.records) if record.value == b'{"priority":0}')
    assert place <= 200 + 6 * 40 + 3 * 50
