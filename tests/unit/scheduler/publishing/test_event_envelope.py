"""What travels is an event of CloudEvents 1.0, by the rules of its specification and for its own library's parser."""

from __future__ import annotations

import base64
import json
import re
import uuid
from datetime import datetime, timezone
from typing import Any

import orjson
import pytest

from asyncflow import CloudEvents, MessageType, Task
from asyncflow.integrations.rabbitmq import RabbitMQPublisher
from asyncflow.integrations.webhooks import WebhookPublisher
from asyncflow.scheduler import Record
from asyncflow.scheduler.publishing.envelope import Envelope
from asyncflow.scheduler.publishing.event_envelope import EventEnvelope, envelope_of, time_of
from asyncflow.testing import MemoryPublisher

ID = uuid.UUID("0190a5b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b")
MADE = datetime(2024, 7, 12, 5, 39, 44, 701000, tzinfo=timezone.utc)
EVENTS = CloudEvents(
    source="https://shop.test/users",
    type_prefix="com.shop.",
    dataschema="https://shop.test/user.json",
    extensions={"tenant": "acmé"},
    extension_headers=["traceparent", "absent"],
)
STRUCTURED = CloudEvents(source="/shop", mode="structured")


def task(key: str | None = "ключ", headers: dict[str, str] | None = None, payload: bytes = b'{"a": 1}') -> Task:
    headers_json = None if headers is None else orjson.dumps(headers).decode()
    return Task(ID.bytes, "user.registered", 0, key, headers_json, payload, 0, 10)


def wrap(events: CloudEvents, one: Task, prefix: str = "ce_", built_type: str = "application/json") -> Record:
    kind = MessageType(name="user.registered", destination="kafka", topic="users", cloudevents=events)
    assert one.payload is not None
    return EventEnvelope(kind, events, prefix).wrap(one, one.payload, built_type)


def headers_of(record: Record) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def test_in_binary_mode_the_payload_is_as_it_was_and_attributes_are_headers() -> None:
    record = wrap(EVENTS, task(headers={"traceparent": "00-1-2-01", "own": "é"}))
    assert (record.topic, record.key, record.value) == ("users", "ключ".encode(), b'{"a": 1}')
    assert headers_of(record) == {
        "message-id": str(ID),
        "message-type": "user.registered",
        "content-type": "application/json",
        "traceparent": "00-1-2-01",
        "own": "é",
        "ce_specversion": "1.0",
        "ce_id": str(ID),
        "ce_source": "https://shop.test/users",
        "ce_type": "com.shop.user.registered",
        "ce_time": time_of(str(ID)),
        "ce_subject": "ключ",
        "ce_dataschema": "https://shop.test/user.json",
        "ce_tenant": "acmé",
        "ce_traceparent": "00-1-2-01",
    }


def test_in_structured_mode_all_of_it_is_one_object() -> None:
    record = wrap(STRUCTURED, task())
    assert headers_of(record) == {
        "message-id": str(ID),
        "message-type": "user.registered",
        "content-type": "application/cloudevents+json; charset=UTF-8",
    }
    assert json.loads(record.value) == {
        "specversion": "1.0",
        "id": str(ID),
        "source": "/shop",
        "type": "user.registered",
        "time": time_of(str(ID)),
        "subject": "ключ",
        "datacontenttype": "application/json",
        "data": {"a": 1},
    }
    assert b'{"a": 1}' in record.value  # as it was, numbers and all


@pytest.mark.parametrize(
    ("content_type", "payload", "is_data"),
    [
        ("application/json", b"123456789012345678", True),
        ("application/vnd.shop+json; charset=utf-8", b"[]", True),
        ("Text/JSON", b'"x"', True),
        ("application/json", b"{", False),
        ("application/json", b"", False),
        ("application/jsonish", b"{}", False),
        ("application/octet-stream", bytes(range(256)), False),
        ("text/plain", "текст".encode(), False),
    ],
)
def test_data_of_json_is_data_and_everything_else_is_kept_in_base64(
    content_type: str, payload: bytes, is_data: bool
) -> None:
    value = wrap(STRUCTURED, task(headers={"content-type": content_type}, payload=payload)).value
    event = json.loads(value)
    assert event["datacontenttype"] == content_type
    if is_data:
        assert event["data"] == json.loads(payload)
        assert payload in value
    else:
        assert "data" not in event
        assert base64.b64decode(event["data_base64"]) == payload


@pytest.mark.parametrize("events", [EVENTS, STRUCTURED, CloudEvents(source="x")])
def test_every_attribute_keeps_the_rules_of_the_specification(events: CloudEvents) -> None:
    record = wrap(events, task(key='a"b\\ 🔑'))
    if events.mode == "structured":
        attributes = json.loads(record.value)
        attributes.pop("data")
    else:
        attributes = {name[3:]: value for name, value in headers_of(record).items() if name.startswith("ce_")}
    assert {"id", "source", "specversion", "type"} <= attributes.keys()
    assert attributes["specversion"] == "1.0"
    for name, value in attributes.items():
        assert re.fullmatch("[a-z0-9]{1,20}", name)
        assert isinstance(value, str)
        assert value
    assert datetime.fromisoformat(attributes["time"].replace("Z", "+00:00")).tzinfo is not None


def test_without_a_key_there_is_no_subject() -> None:
    assert "ce_subject" not in headers_of(wrap(EVENTS, task(key=None)))
    assert "subject" not in json.loads(wrap(STRUCTURED, task(key=None)).value)


def test_the_time_is_that_of_the_enqueue_which_the_id_begins_with() -> None:
    milliseconds = int(MADE.timestamp() * 1000)
    made = uuid.UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)
    assert time_of(str(made)) == "2024-07-12T05:39:44.701Z"
    assert time_of(str(uuid.uuid4())) is None


def test_a_header_that_no_attribute_can_hold_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="traceparent holds a control character"):
        wrap(EVENTS, task(headers={"traceparent": "a\nb"}))


def test_tasks_of_a_page_are_wrapped_as_each_by_itself() -> None:
    kind = MessageType(name="user.registered", destination="kafka", topic="users", cloudevents=EVENTS)
    tasks = [task(), task(key=None)]
    envelope = EventEnvelope(kind, EVENTS, "ce_")
    assert envelope.wrap_plain(tasks) == [envelope.wrap(one, one.payload or b"") for one in tasks]


def test_the_names_of_headers_begin_as_the_protocol_has_it() -> None:
    def prefix(publisher: Any) -> str:
        kind = MessageType(name="a", destination="d", topic="t", cloudevents=EVENTS)
        (name,) = (
            name for name, _ in envelope_of(kind, publisher).wrap(task(), b"").headers if name.endswith("source")
        )
        return str(name.removesuffix("source"))

    assert prefix(MemoryPublisher()) == "ce_"  # Kafka's
    assert prefix(WebhookPublisher) == "ce-"
    assert prefix(RabbitMQPublisher) == "cloudEvents_"


def test_a_type_that_is_no_event_is_wrapped_as_ever() -> None:
    assert type(envelope_of(MessageType(name="a", destination="d", topic="t"), MemoryPublisher())) is Envelope


def test_the_attributes_are_never_more_than_the_door_counts() -> None:
    for events in (EVENTS, STRUCTURED, CloudEvents(source="x" * 255, mode="structured", extensions={"a": '"' * 1000})):
        for key in ("k", "🔑" * 255, '"' * 255):
            one = task(key=key, headers={"traceparent": "é" * 50, "absent": '"' * 300})
            plain = Envelope(MessageType(name="user.registered", destination="d", topic="t")).wrap(one, b"{}")
            added = size(wrap(events, one._replace(payload=b"{}"))) - size(plain)
            most = events.most_added_bytes("user.registered", len(key.encode()), len(one.headers_json or ""))
            assert added <= most


def size(record: Record) -> int:
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.key or b"") + len(record.value) + headers


# -- the specification's own library ---------------------------------------------------------------------


@pytest.mark.parametrize("events", [EVENTS, STRUCTURED])
def test_the_library_of_the_specification_reads_what_goes_to_kafka(events: CloudEvents) -> None:
    kafka = pytest.importorskip("cloudevents.core.bindings.kafka")
    record = wrap(events, task(headers={"traceparent": "00-1-2-01"}))
    message = kafka.KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)
    event = kafka.from_structured_event(message) if events is STRUCTURED else kafka.from_binary_event(message)
    assert_is_ours(event, events)


@pytest.mark.parametrize("events", [EVENTS, STRUCTURED])
def test_the_library_of_the_specification_reads_what_goes_by_amqp(events: CloudEvents) -> None:
    amqp = pytest.importorskip("cloudevents.core.bindings.amqp")
    record = wrap(events, task(headers={"traceparent": "00-1-2-01"}), "cloudEvents_")
    headers = headers_of(record)
    properties = {"content-type": headers.pop("content-type")}
    message = amqp.AMQPMessage(properties=properties, application_properties=headers, application_data=record.value)
    event = amqp.from_structured_event(message) if events is STRUCTURED else amqp.from_binary_event(message)
    assert_is_ours(event, events)


def assert_is_ours(event: Any, events: CloudEvents) -> None:
    assert (event.get_id(), event.get_source(), event.get_specversion()) == (str(ID), events.source, "1.0")
    assert event.get_type() == events.type_prefix + "user.registered"
    assert event.get_subject() == "ключ"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_time().isoformat(timespec="milliseconds").replace("+00:00", "Z") == time_of(str(ID))
    assert event.get_data() == {"a": 1}
    for name, value in events.extensions.items():
        assert event.get_extension(name) == value
