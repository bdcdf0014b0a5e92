"""A hook that stands around deliveries: it sees each batch with its outcomes, and costs nothing where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from asyncflow import Status
from asyncflow.scheduler import SENT, Outcome, Record, Rejected
from asyncflow.scheduler.publishing import delivery
from asyncflow.scheduler.publishing.delivering import Delivering
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application


class Watch:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    @contextmanager
    def around_delivery(self, delivering: Delivering) -> Iterator[None]:
        assert delivering.outcomes == ()
        yield
        self.seen.append(delivering)


class Named(MemoryPublisher):
    system = "memory"


def test_it_sees_each_batch_with_the_kind_of_its_broker_and_what_became_of_each_record(
    sqlite_application: Application,
) -> None:
    watch = Watch()
    sqlite_application.outbox.hooks.add(watch)
    publish_many(sqlite_application, 3)
    answers: list[Outcome] = [SENT, Rejected("no"), SENT]
    publisher = Named(lambda record: answers.pop())
    sqlite_application.scheduler(publisher).drain()
    (seen,) = watch.seen
    assert (seen.destination, seen.system, seen.topics) == ("kafka", "memory", ["user.registered"])
    assert seen.records == publisher.records
    assert sorted(map(str, seen.outcomes)) == ["Rejected(error='no')", "Sent()", "Sent()"]


def test_a_publisher_that_tells_no_kind_is_called_as_its_destination(sqlite_application: Application) -> None:
    watch = Watch()
    sqlite_application.outbox.hooks.add(watch)
    publish_many(sqlite_application, 1)
    sqlite_application.scheduler().drain()
    assert [one.system for one in watch.seen] == ["kafka"]


@pytest.mark.parametrize("when", ["entered", "left"])
def test_a_fault_of_it_sends_nothing_twice_and_keeps_nothing_back(
    sqlite_application: Application, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        @contextmanager
        def around_delivery(self, _: Delivering) -> Iterator[None]:
            if when == "left":
                yield
            raise RuntimeError("of the hook")

    sqlite_application.outbox.hooks.add(Broken())
    publish_many(sqlite_application, 3)
    publisher = MemoryPublisher()
    sqlite_application.scheduler(publisher).drain()
    assert sqlite_application.statuses() == [Status.SUCCESS] * 3
    assert len(publisher.records) == 3
    assert "of the hook" in caplog.text


def test_nothing_is_made_for_hooks_where_none_stands_around(
    sqlite_application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(delivery, "Delivering")
    monkeypatch.delattr(delivery, "StandingAround")
    sqlite_application.outbox.hooks.add(lambda event: None)
    publish_many(sqlite_application, 3)
    sqlite_application.scheduler().drain()
    assert sqlite_application.statuses() == [Status.SUCCESS] * 3


def test_a_record_that_broke_the_client_is_of_the_same_delivery(sqlite_application: Application) -> None:
    class Fragile(MemoryPublisher):
        def publish(self, batch: Any) -> Any:
            if len(batch) > 1:
                raise RuntimeError("too many")
            return super().publish(batch)

    watch = Watch()
    sqlite_application.outbox.hooks.add(watch)
    publish_many(sqlite_application, 3)
    sqlite_application.scheduler(Fragile()).drain()
    (seen,) = watch.seen
    assert list(seen.outcomes) == [SENT] * 3
    assert all(isinstance(record, Record) for record in seen.records)
