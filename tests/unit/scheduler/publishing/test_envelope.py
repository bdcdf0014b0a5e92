from __future__ import annotations

import uuid

import orjson
import pytest

from asyncflow import MessageType, Task
from asyncflow.scheduler import Record
from asyncflow.scheduler.publishing.envelope import Envelope, message_id

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
