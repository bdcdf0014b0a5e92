"""The queue on a real Kafka: what each queue has to hold, and what belongs to partitions with one reader each."""

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
from asyncflow.integrations.kafka import KafkaQueue, KafkaSettings
from asyncflow.scheduler.task_queue import Arrival, Parcel, Taking
from tests.integration.scheduler.queues.suite import QUEUE, Office, QueueSuite, wait_until
from tests.support.databases import STANDS_IN
from tests.support.forking import Child
from tests.support.meddled_queue import MeddledQueue
from tools.services import load

LASTING = KafkaSettings(delivery_timeout_seconds=60)  # a busy machine's broker may answer late


@pytest.fixture
def servers() -> str:
    pytest.importorskip("confluent_kafka")
    services = load()
    if not services.kafka_is_real or not services.kafka_bootstrap:
        pytest.skip(f"a queue needs Apache Kafka itself: {services.kafka_note}")
    return services.kafka_bootstrap


@pytest.fixture
def admin(servers: str) -> Any:
    return library_of_admin().AdminClient({"bootstrap.servers": servers})


def library_of_admin() -> Any:
    return pytest.importorskip("confluent_kafka.admin")


@pytest.fixture
def namespace(admin: Any) -> Iterator[str]:
    name = f"test-{secrets.token_hex(6)}"
    yield name
    topics = [topic for topic in admin.list_topics(timeout=60).topics if topic.startswith(f"{name}.")]
    for deleted in admin.delete_topics(topics).values() if topics else ():
        deleted.result(60)


def queue_at(servers: str, namespace: str, **options: Any) -> KafkaQueue:
    return KafkaQueue(servers, namespace=namespace, settings=LASTING, **options)


# Half a minute, most of it the six seconds after which a worker leaves.
@pytest.mark.skipif(STANDS_IN is None, reason="make test-everywhere runs the suite on Kafka")
class TestKafkaQueue(QueueSuite):
    @pytest.fixture
    def queue(self, servers: str, namespace: str) -> MeddledQueue:
        return MeddledQueue(queue_at(servers, namespace, credits=3, partitions=2))


def test_workers_share_the_partitions(sqlite_engine: Engine, servers: str, namespace: str) -> None:
    with ExitStack() as until:
        office = Office(sqlite_engine, queue_at(servers, namespace, partitions=4), until)
        office.schedule()
        office.work()
        office.work()
        office.enqueue(office.issue, *range(20, 220))
        wait_until(lambda: office.count(Status.SUCCESS) == 200)
        assert sorted(office.done) == list(range(20, 220))


def test_a_letter_is_as_old_as_the_brokers_clock_says(servers: str, namespace: str) -> None:
    with ExitStack() as until:
        sending, taking = lines(queue_at(servers, namespace, partitions=1), until)
        sending.send([Parcel("issue", b"x", 30.0)])
        time.sleep(0.3)
        (arrival,) = taken(taking, 1, issue=1, other=2)
        assert arrival.body == b"x"
        assert arrival.seconds_on_way >= 0.3


def test_a_topic_that_keeps_the_senders_times_is_told_of(servers: str, namespace: str, admin: Any) -> None:
    topic = f"{namespace}.{QUEUE}.tasks.issue"
    admin.create_topics([library_of_admin().NewTopic(topic, 1, 1, config={"message.timestamp.type": "CreateTime"})])[
        topic
    ].result(60)
    with ExitStack() as until:
        sending, taking = lines(queue_at(servers, namespace), until)
        sending.send([Parcel("issue", b"x", 30.0)])
        with pytest.raises(UnreachableError, match=r"set its message.timestamp.type to LogAppendTime"):
            taken(taking, 1, issue=1)


def test_what_a_worker_without_room_does_not_take_goes_to_another(servers: str, namespace: str) -> None:
    with ExitStack() as until:
        queue = queue_at(servers, namespace, partitions=4)
        sending, busy = lines(queue, until)
        sending.send([Parcel("issue", b"first", 600.0)])
        taken(busy, 1, issue=1)  # and it asks for nothing more
        sending.send([Parcel("issue", b"%d" % number, 600.0) for number in range(12)])
        idle = queue.taking(QUEUE)
        until.callback(idle.close)
        assert {one.body for one in taken(idle, 12, issue=20)} == {b"%d" % number for number in range(12)}


def test_letters_go_to_where_the_fewest_wait(servers: str, namespace: str, admin: Any) -> None:
    with ExitStack() as until:
        queue = queue_at(servers, namespace, partitions=2)
        sending, taking = lines(queue, until)
        sending.send([Parcel("issue", b"x", 600.0)] * 8)
        taken(taking, 4, issue=4)  # mostly of one partition
        another = queue.sending(QUEUE)  # of another scheduler, which knows by the brokers alone
        until.callback(another.close)
        another.send([Parcel("issue", b"x", 600.0)] * 4)
        assert waiting(admin, f"{namespace}.{QUEUE}.tasks.issue", 2) == [4, 4]


def test_notes_that_were_not_acknowledged_come_again_to_another(servers: str, namespace: str) -> None:
    with ExitStack() as until:
        queue = queue_at(servers, namespace)
        telling, first, second = queue.telling(QUEUE), queue.collecting(QUEUE, "a"), queue.collecting(QUEUE, "b")
        for line in (telling, second):
            until.callback(line.close)
        telling.tell([b"one", b"two", b"three"])
        notes: list[Any] = []

        def have_come(line: Any, count: int) -> bool:
            notes.extend(line.collect(10, 0.5))
            return len(notes) == count

        wait_until(lambda: have_come(first, 3))
        assert [note.body for note in notes] == [b"one", b"two", b"three"], "of one worker in order"
        first.acknowledge([notes[0].handle, notes[2].handle])  # the third waits for the second
        first.close()
        notes.clear()
        wait_until(lambda: have_come(second, 2))
        assert [note.body for note in notes] == [b"two", b"three"]
        second.acknowledge([note.handle for note in notes])


def test_what_is_too_large_is_refused_and_hinders_no_other(servers: str, namespace: str) -> None:
    with ExitStack() as until:
        sending, taking = lines(queue_at(servers, namespace, partitions=1), until)
        large = b"x" * (17 * 1024 * 1024)
        answers = sending.send(
            [Parcel("issue", b"a", 30.0), Parcel("issue", large, 30.0), Parcel("no/topic", b"", 1.0)]
        )
        assert answers[0] is None
        assert "MSG_SIZE_TOO_LARGE" in str(answers[1])
        assert "it holds '/'" in str(answers[2])
        assert [one.body for one in taken(taking, 1, issue=5)] == [b"a"]
        with pytest.raises(
            OptionError, match=r"the task type 'no/topic' names a topic of a queue on Kafka: it holds '/'"
        ):
            taking.take({"no/topic": 1}, 0.1)


def test_lines_begin_anew_in_the_child_of_a_fork(servers: str, namespace: str) -> None:
    with ExitStack() as until:
        sending, taking = lines(queue_at(servers, namespace, partitions=1), until)
        sending.send([Parcel("issue", b"parent", 600.0)])
        taken(taking, 1, issue=1)

        def live() -> list[str | None]:
            answers = list(sending.send([Parcel("issue", b"child", 600.0)]))
            sending.close()
            return answers

        assert Child(live).result() == [None]
        assert [one.body for one in taken(taking, 1, issue=1)] == [b"child"]


def test_letters_and_notes_of_a_cluster_that_lost_all_it_had_come_again(
    sqlite_engine: Engine, servers: str, namespace: str, admin: Any
) -> None:
    with ExitStack() as until:
        office = Office(sqlite_engine, queue_at(servers, namespace, credits=5, partitions=2), until)
        office.enqueue(office.issue, *range(20, 40))
        office.schedule()
        wait_until(lambda: office.count(Status.PROCESSING) == 5)
        topic = f"{namespace}.{QUEUE}.tasks.issue"
        wait_until(lambda: topic in admin.list_topics(timeout=60).topics)
        admin.delete_topics([topic])[topic].result(60)
        office.work()
        office.let_claims_run_out()
        wait_until(lambda: office.count(Status.SUCCESS) == 20)
        assert {row.retry_count for row in office.rows()} == {1}


def test_a_broker_that_is_not_there_is_named() -> None:
    pytest.importorskip("confluent_kafka")
    queue = KafkaQueue("127.0.0.1:1", settings=KafkaSettings(delivery_timeout_seconds=1))
    with pytest.raises(UnreachableError, match=r"Kafka at 127.0.0.1:1: "):
        queue.telling(QUEUE).tell([b"x"])
    with pytest.raises(UnreachableError, match=r"Kafka at 127.0.0.1:1: "):
        queue.sending(QUEUE).require_living()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"credits": 0}, "credits is 0"),
        ({"partitions": 0}, "partitions is 0"),
        ({"namespace": "a/b"}, "namespace is 'a/b', with which topics begin: it holds '/'"),
        ({"settings": {}}, r"settings is a dict; give KafkaSettings\(...\)"),
    ],
    ids=["credits", "partitions", "namespace", "settings"],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], told: str) -> None:
    pytest.importorskip("confluent_kafka")
    with pytest.raises(OptionError, match=told):
        KafkaQueue("127.0.0.1:1", **options)


def lines(queue: KafkaQueue, until: ExitStack) -> tuple[Any, Any]:
    """Return a line by which letters go, and one by which they come, both ended with the test."""
    sending, taking = queue.sending(QUEUE), queue.taking(QUEUE)
    until.callback(sending.close)
    until.callback(taking.close)
    return sending, taking


def taken(line: Taking, count: int, **rooms: int) -> list[Arrival]:
    """Take until so many have come; a member of a group takes a moment to join it."""
    arrivals: list[Arrival] = []

    def have_come() -> bool:
        arrivals.extend(line.take(rooms, 0.5))
        return len(arrivals) >= count

    wait_until(have_come)
    return arrivals


def waiting(admin: Any, topic: str, partitions: int) -> list[int]:
    """Return how many letters of each partition the workers' group has not taken."""
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    places = [TopicPartition(topic, number) for number in range(partitions)]
    group = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(topic, places)])[topic].result(60)
    asked = admin.list_offsets({place: library_of_admin().OffsetSpec.latest() for place in places})
    ends = {place.partition: answer.result(60).offset for place, answer in asked.items()}
    return sorted(ends[one.partition] - max(0, one.offset) for one in group.topic_partitions)
