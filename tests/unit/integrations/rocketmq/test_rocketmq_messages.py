"""From a record to a message: each byte comes back, and what RocketMQ has no place for is refused."""

from __future__ import annotations

import uuid
from importlib.util import find_spec
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.integrations.rocketmq import RocketMQSettings
from asyncflow.integrations.rocketmq.lanes import Lanes
from asyncflow.integrations.rocketmq.messages import (
    EMPTY,
    MAX_GROUP_BYTES,
    GroupedMessage,
    UnfitRecordError,
    encoded,
    group_of,
    id_of,
    properties_of,
)
from asyncflow.integrations.rocketmq.topics import fault_of_topic
from asyncflow.scheduler.publishing.publisher import Record, Rejected


@given(st.binary(max_size=40))
def test_a_value_is_a_text_without_control_characters_that_has_all_its_bytes(value: bytes) -> None:
    text = encoded(value)
    assert text == text.strip()
    assert text.encode().decode() == text
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in text)
    assert (b"" if text == EMPTY else unquote_to_bytes(text)) == value


def test_a_text_stays_one_that_others_can_read() -> None:
    assert encoded("наш текст, 100 €".encode()) == "наш текст, 100 €"
    assert encoded(b"100% \xff\n") == "100%25 %FF%0A"
    assert encoded(b"") == "%"


def test_names_that_the_broker_has_itself_are_written_so_that_they_are_none_of_its() -> None:
    record = Record("t", b"k", b"", [("KEYS", b"1"), ("a:b", b"2"), ("__X", b"3")])
    assert properties_of(record) == {
        "%4BEYS": "1",
        "a:b": "2",
        "%5F_X": "3",
        "message-key": "k",
        "message-is-empty": "true",
    }


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([("", b"1")], "it has no name"),
        ([("message-key", b"1")], "the publisher writes its own there"),
        ([("a", b"1"), ("a", b"2")], "the header 'a' is there twice"),
    ],
)
def test_what_has_no_place_among_properties_is_refused(headers: list[tuple[str, bytes]], why: str) -> None:
    with pytest.raises(UnfitRecordError, match=why):
        properties_of(Record("t", None, b"v", headers))


@given(st.binary(max_size=100))
def test_a_group_is_one_that_the_proxy_takes_and_the_same_for_each_key(key: bytes) -> None:
    group = group_of(key)
    assert group.strip()
    assert len(group.encode()) <= MAX_GROUP_BYTES
    assert group == group_of(key)


def test_a_key_that_is_a_group_stays_as_it_is_and_others_are_told_apart() -> None:
    assert group_of("A-ключ 7".encode()) == "A-ключ 7"
    digests = {group_of(key) for key in (b"", b"\xff", b"a\n", b"x" * 64, b"x" * 65, b" a")}
    assert len(digests) == 6
    assert all(group.startswith("key-") for group in digests)


def test_an_id_is_the_task_s_and_never_that_of_another_process() -> None:
    task = uuid.uuid4()
    assert id_of(str(task).encode()) == "01" + task.hex.upper()
    assert id_of(b"order-7") == id_of(b"order-7") != id_of(b"order-8")
    assert id_of(None) != id_of(None)
    assert {len(id_of(one)) for one in (None, b"order-7", b"")} == {34}


def test_of_a_lane_one_is_on_its_way_at_a_time() -> None:
    lanes_of = [b"a", b"b", b"a", None, b"a"]
    lanes = Lanes(
        {place: GroupedMessage(None, None if one is None else ("t", one)) for place, one in enumerate(lanes_of)}
    )

    def all_ready() -> list[int]:
        return list(iter(lanes.next, None))

    assert all_ready() == [0, 1, 3]
    lanes.done(1)
    lanes.done(3)
    assert all_ready() == []
    lanes.done(0)
    assert all_ready() == [2]
    lanes.done(2)
    assert all_ready() == [4]


@pytest.mark.parametrize("topic", ["users", "a-b_c%7|d", "a" * 127])
def test_names_of_topics_are_taken(topic: str) -> None:
    assert fault_of_topic(topic) is None


@pytest.mark.parametrize("topic", ["", "a.b", "a b", "тема", "a" * 128, "a\n"])
def test_names_that_are_none_are_told(topic: str) -> None:
    assert fault_of_topic(topic)


def test_a_record_becomes_a_request() -> None:
    if find_spec("rocketmq") is None:
        pytest.skip("rocketmq-python-client is not installed")
    from asyncflow.integrations.rocketmq import extras
    from asyncflow.integrations.rocketmq.messages import RocketMQMessages

    def made(record: Record, **settings: object) -> GroupedMessage | Rejected:
        return RocketMQMessages(extras.client().protocol, RocketMQSettings(**settings)).make(record)  # type: ignore[arg-type]

    record = Record("users", b"A1", b"body", [("message-id", b"id 1")])
    message = made(record, namespace="shop")
    assert isinstance(message, GroupedMessage)
    (sent,) = message.request.messages
    its = sent.system_properties
    assert (sent.topic.resource_namespace, sent.topic.name, sent.body) == ("shop", "users", b"body")
    assert (its.message_group, list(its.keys), its.message_type) == ("A1", [], 2)  # a key has no spaces
    assert message.lane == ("users", b"A1")
    plain = made(record, fifo=False)
    assert isinstance(plain, GroupedMessage)
    assert (plain.lane, plain.request.messages[0].system_properties.message_type) == (None, 1)
    large = made(record._replace(value=b"x" * 200), max_message_bytes=200)
    assert isinstance(large, Rejected)
    assert "max_message_bytes is 200" in large.error
