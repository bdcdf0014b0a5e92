"""Very many types with few rows each: each is read whole in its turn, and none is lost, sent twice or starved."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from asyncflow import Message, Scheduler, Status
from asyncflow.scheduler import Configurations
from asyncflow.scheduler.relay.round import RoundSize
from asyncflow.scheduler.relay.type_walk import TypeWalk
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.publishers import ids_of
from tests.integration.scheduler.writing import alter, publish
from tests.support.application import Application

pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
SHARDS = 8
NAMES = [f"type.{number:03}" for number in range(300)]
ROUND = 4000  # twice the rows of the fewest types that are read whole: how many a type has is told by some of its lanes


class Walk:
    """Have an application of very many types, and know which were read whole."""

    def __init__(self, engine: Engine, made: list[Scheduler], monkeypatch: pytest.MonkeyPatch) -> None:
        self.application = Application(engine, shard_count=SHARDS)
        self._made = made
        self.whole: Counter[str] = Counter()
        self.reads: list[list[UUID]] = []
        read = TypeWalk.read

        def noting(walk: TypeWalk, *given: Any) -> Any:
            found = read(walk, *given)
            self.whole.update(found.taken if found else ())
            self.reads += [[task.id for task in found.tasks]] if found else []
            return found

        monkeypatch.setattr(RoundSize, "_FIRST", ROUND)
        monkeypatch.setattr(TypeWalk, "read", noting)
        for name in NAMES:
            self.application.outbox.message(name)

    def fill(self, each: int = 24, **more: int) -> None:
        outbox = self.application.outbox
        with self.application.engine.begin() as connection:
            for name in NAMES:
                messages = [Message({"n": n}, key=f"k{n}", priority=n % 3) for n in range(more.get(name[-3:], each))]
                outbox.publish_many(connection, name, messages)

    def scheduler(self, publisher: Any, **options: Any) -> Scheduler:
        self._made.append(self.application.scheduler(publisher, round_size=ROUND, **options))
        return self._made[-1]


@pytest.fixture
def walk(engine: Engine, made: list[Scheduler], monkeypatch: pytest.MonkeyPatch) -> Walk:
    return Walk(engine, made, monkeypatch)


def test_each_message_of_very_many_types_is_sent_once_in_the_order_of_its_type(walk: Walk) -> None:
    walk.fill()
    rows = {str(row.id): row for row in walk.application.rows()}
    publisher = MemoryPublisher()
    walk.scheduler(publisher).drain()
    assert Counter(ids_of(publisher)) == Counter(list(rows))
    assert set(walk.application.statuses()) == {Status.SUCCESS}
    assert len(walk.whole) > len(NAMES) / 3
    for ids in walk.reads:
        read = [rows[str(one)] for one in ids]
        assert read == sorted(read, key=lambda row: (row.task_type, row.order_time))


def test_thick_and_ordered_types_among_very_many_are_sent_as_they_are_alone(walk: Walk) -> None:
    outbox = walk.application.outbox
    outbox.message("type.100.ordered", ordered=True)
    walk.fill(**{"050": 3000, "051": 0})
    with walk.application.engine.begin() as connection:
        outbox.publish_many(connection, "type.100.ordered", [Message({"n": n}, key=f"k{n % 7}") for n in range(700)])
    rows = {str(row.id): row for row in walk.application.rows()}
    publisher = MemoryPublisher()
    walk.scheduler(publisher).drain()
    assert Counter(ids_of(publisher)) == Counter(list(rows))
    ordered = [record for record in publisher.records if record.topic == "type.100.ordered"]
    for key in {record.key for record in ordered}:
        numbers = [record.value for record in ordered if record.key == key]
        assert len(numbers) == 100
        assert numbers == sorted(numbers, key=lambda value: int(value.partition(b":")[2].rstrip(b"}")))


def test_a_newcomer_among_very_many_types_waits_for_one_walk_at_most(walk: Walk) -> None:
    walk.application.outbox.message("type.150.new")
    publisher = MemoryPublisher()
    scheduler = walk.scheduler(publisher)
    scheduler.ownership.acquire()
    for number in range(16):
        walk.fill(each=10 if number else 24)  # so that there is no end of others
        if number == 6:
            publish(walk.application, task_type="type.150.new")
        scheduler.relays[0].step()
    assert walk.whole
    assert any(record.topic == "type.150.new" for record in publisher.records)


def test_what_is_switched_off_or_not_due_is_passed_over(walk: Walk) -> None:
    walk.fill()
    alter(walk.application, "order_time = '2099-01-01 00:00:00.000000'", "task_type = 'type.170'")
    Configurations(walk.application.engine, walk.application.outbox).put("type.160", enabled=False)
    scheduler = walk.scheduler(MemoryPublisher())
    scheduler.drain()
    assert "type.171" in walk.whole
    waiting = Counter(row.task_type for row in walk.application.rows() if row.status == Status.PENDING)
    assert waiting == {"type.170": 24, "type.160": 24}
