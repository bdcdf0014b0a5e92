from __future__ import annotations

import uuid

import orjson
import pytest

from asyncflow import MessageType, Task
from asyncflow.scheduler import Record
from asyncflow.scheduler.publishing.envelope import Envelope, are_plain, message_id

ID = uuid.UUID("0190a5b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b")
KIND = MessageType(name="user.registered", destination="kafka", topic="users")


def wrap(key: str | None = None, headers: dict[str, str] | None = None, payload: bytes = b"{}") -> Record:
    headers_json = None if headers is None else orjson.dumps(headers).decode()
    return Envelope(KIND).wrap(Task(ID.bytes, "user.registered", 0, key, headers_json, payload, 0, 10), payload)


@pytest.mark.parametrize("raw_id", [str(ID), ID.bytes, bytearray(ID.bytes), memoryview(ID.bytes)])
def test_the_message_id_is_the_uuid_as_text_whatever_the_driver_returns(raw_id: object) -> None:
    assert message_id(raw_id) == b"0190a5b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"


def test_a_plain_message_says_what_it_is() -> None:
    record = wrap()
    assert (record.topic, record.key, record.value) == ("users", None, b"{}")
    assert list(record.headers) == [
        ("message-id", str(ID).encode()),
        ("message-type", b"user.registered"),
        ("content-type", b"application/json"),
    ]


def test_own_headers_follow_in_their_order() -> None:
    record = wrap(headers={"z": "1", "a": "ü"})
    assert list(record.headers)[3:] == [("z", b"1"), ("a", "ü".encode())]


def test_another_content_type_takes_the_place_of_json_and_is_told_once() -> None:
    headers = list(wrap(headers={"content-type": "application/avro", "a": "1"}).headers)
    assert headers[2:] == [("content-type", b"application/avro"), ("a", b"1")]


def test_key_and_payload_travel_byte_by_byte() -> None:
    record = wrap(key="Kontø-🙂", payload=b"\x00\xff\x80")
    assert (record.key, record.value) == ("Kontø-🙂".encode(), b"\x00\xff\x80")


def task(headers: str | None, payload: bytes | None = b"{}", key: str | None = "A1") -> Task:
    return Task(uuid.uuid4().bytes, "user.registered", 0, key, headers, payload, 0, 10)


def test_many_at_once_are_wrapped_as_each_is_by_itself() -> None:
    texts = [None, '{"traceparent":"00-ab-cd-01"}', '{"z":"1","a":"ü"}', "{}"]
    tasks = [task(text, key=key) for text in texts for key in (None, "Kontø")]
    assert are_plain(tasks)
    assert Envelope(KIND).wrap_plain(tasks) == [Envelope(KIND).wrap(one, one.payload or b"") for one in tasks]


@pytest.mark.parametrize(
    "other",
    [
        task('{"content-type":"application/avro"}'),
        task('{"payload-encryption":"AES-256-GCM"}'),
        task('{"content\\u002dtype":"application/avro"}'),
        task(None, payload=None),
    ],
    ids=["content type", "encrypted", "escaped", "no payload"],
)
def test_one_that_travels_otherwise_is_not_plain(other: Task) -> None:
    assert not are_plain([task(None), other])
