"""From a record to a message: each byte comes back, and what NATS has no place for is refused."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.integrations.nats import NatsSettings
from asyncflow.integrations.nats.messages import NatsMessage, NatsMessages, encoded
from asyncflow.integrations.nats.subjects import fault_of_subject
from asyncflow.scheduler.publishing.publisher import Record, Rejected


def made(record: Record, **settings: object) -> NatsMessage | Rejected:
    return NatsMessages(NatsSettings(**settings)).make(record)  # type: ignore[arg-type]


def test_the_id_is_what_the_stream_knows_duplicates_by_and_the_key_is_a_header() -> None:
    message = made(Record("users.new", "ключ".encode(), b"v", [("message-id", b"1"), ("t", b"x y")]))
    assert isinstance(message, NatsMessage)
    assert message[:2] == ("users.new", b"v")
    assert message.headers == {
        "message-id": "1",
        "t": "x y",
        "Nats-Msg-Id": "1",
        "message-key": "%D0%BA%D0%BB%D1%8E%D1%87",
    }


def test_the_size_is_what_the_server_counts() -> None:
    message = made(Record("t", b"k", b"body", [("message-id", b"1")]))
    assert isinstance(message, NatsMessage)
    sent = b"NATS/1.0\r\nmessage-id: 1\r\nNats-Msg-Id: 1\r\nmessage-key: k\r\n\r\nbody"
    assert message.size == len(sent)


@given(st.binary(max_size=40))
def test_a_value_is_printable_ascii_without_spaces_at_its_ends_and_has_all_its_bytes(value: bytes) -> None:
    text = encoded(value)
    assert text == text.strip()
    assert all(" " <= character <= "~" for character in text)
    assert unquote_to_bytes(text) == value


@pytest.mark.parametrize("value", [b"application/json", b"a b", b'{"a":[1]}', b"2026-11-29T22:00:00Z", b"x;q=0.5"])
def test_what_is_printable_ascii_stays_as_it_is(value: bytes) -> None:
    assert encoded(value) == value.decode()


def test_the_name_of_a_header_is_a_token_that_comes_back() -> None:
    message = made(Record("t", None, b"", [("имя: x", b"1"), ("a%b", b"2"), ("tenant", b"3")]))
    assert isinstance(message, NatsMessage)
    assert [unquote_to_bytes(name).decode() for name in message.headers] == ["имя: x", "a%b", "tenant"]
    assert all(character.isascii() and character not in ' :"' for name in message.headers for character in name)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (Record("a b", b"k", b"", []), "no message is published to the subject 'a b': a subject has no spaces"),
        (Record("t", b"k", b"", [("Nats-Rollup", b"all")]), "the header 'Nats-Rollup' is not sent: the server would"),
        (Record("t", b"k", b"", [("nats-msg-id", b"1")]), "the header 'nats-msg-id' is not sent: the server would"),
        (Record("t", None, b"", [("message-key", b"1")]), "the header 'message-key' is not sent: the publisher writes"),
        (Record("t", b"k", b"", [("", b"1")]), "the header '' is not sent: it has no name"),
        (Record("t", b"k", b"", [("a", b"1"), ("a", b"2")]), "the header 'a' is there twice"),
        (Record("t", None, b"x" * 30, []), "the message has 42 bytes with its headers; max_message_bytes is 40"),
    ],
)
def test_what_nats_cannot_carry_is_rejected_with_the_reason(record: Record, why: str) -> None:
    outcome = made(record, max_message_bytes=40)
    assert isinstance(outcome, Rejected)
    assert outcome.error.startswith(why)


@pytest.mark.parametrize("topic", ["users", "users.new", "a-b_c.D", "ключ.鍵", "a$b", "_x"])
def test_a_name_of_words_and_dots_is_a_subject(topic: str) -> None:
    assert fault_of_subject(topic) is None


@pytest.mark.parametrize(
    ("topic", "why"),
    [
        ("", "empty part"),
        (".a", "empty part"),
        ("a.", "empty part"),
        ("a..b", "empty part"),
        ("a b", "spaces"),
        ("a\tb", "spaces"),
        ("a\r\nPUB b 0", "spaces"),
        ("a\x00b", "printed"),
        ("a\ud800", "printed"),
        ("a.*", "wildcards"),
        ("a*b", "wildcards"),
        (">", "wildcards"),
        ("$JS.API.STREAM.PURGE.x", "the server's own"),
        ("é" * 513, "1026 bytes"),
    ],
)
def test_what_is_no_subject_is_told_why(topic: str, why: str) -> None:
    assert why in str(fault_of_subject(topic))
