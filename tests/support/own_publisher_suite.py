"""What each of our own publishers is asked besides the suite: beside a fork, after a reset, and for a scheduler."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import MetaData, create_engine

from asyncflow import Outbox, Scheduler, Status
from asyncflow.scheduler.publishing.publisher import SENT, Record
from asyncflow.testing.publisher_suite import PublisherSuite
from tests.support.databases import open_engine
from tests.support.forking import Child


def a_record(topic: str, number: int = 0, key: bytes | None = b"k") -> Record:
    return Record(topic, key, b"%d" % number, [("message-id", b"id-%d" % number)])


class OwnPublisherSuite(PublisherSuite):
    """Be inherited as PublisherSuite is."""

    def test_after_a_fork_parent_and_child_each_publish_through_a_connection_of_their_own(self, broker: Any) -> None:
        topic, publisher = broker.make_topic(), broker.make_publisher()
        assert publisher.publish([a_record(topic, 0)]) == [SENT]
        session = publisher._link._session

        def in_the_child() -> list[Any]:
            outcomes = list(publisher.publish([a_record(topic, 1)]))
            publisher.close()
            return outcomes

        assert Child(in_the_child).result() == [SENT]
        assert publisher.publish([a_record(topic, 2)]) == [SENT]
        assert publisher._link._session is session
        publisher.close()
        assert [record.value for record in broker.stored(topic, 3)] == [b"0", b"1", b"2"]

    def test_a_connection_that_was_lost_while_idle_is_made_anew(self, broker: Any) -> None:
        topic, publisher = broker.make_topic(), broker.make_publisher()
        assert publisher.publish([a_record(topic, 0)]) == [SENT]
        broker.proxy.reset()
        deadline = monotonic() + 60
        while publisher.publish([a_record(topic, 1)]) != [SENT]:  # until the reset has come through
            assert monotonic() < deadline
        publisher.close()

    def test_a_scheduler_sends_what_was_published(self, broker: Any, tmp_path: Path) -> None:
        topic, metadata = broker.make_topic(), MetaData()
        outbox = Outbox(metadata, default_destination="there", max_message_bytes=50_000)
        outbox.message("user.registered", topic=topic)
        engine = open_engine(create_engine(f"sqlite:///{tmp_path / 'outbox.db'}").url)
        metadata.create_all(engine)
        with engine.begin() as connection:
            task_id = outbox.publish(connection, "user.registered", {"a": 1}, key="ключ", headers={"tenant": "é"})
        scheduler = Scheduler(engine, outbox, {"there": broker.make_publisher()})
        scheduler.drain()
        scheduler.stop()
        with engine.connect() as connection:
            assert [row.status for row in connection.execute(outbox.tasks.select())] == [int(Status.SUCCESS)]
        engine.dispose()
        (record,) = broker.stored(topic, 1)
        assert (record.key, record.value) == ("ключ".encode(), b'{"a":1}')
        assert dict(record.headers) == {
            "message-id": str(task_id).encode(),
            "message-type": b"user.registered",
            "content-type": b"application/json",
            "tenant": "é".encode(),
        }
