"""What an outbox encrypts, what marks it, and what it says where it cannot be read."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest
from sqlalchemy import MetaData, create_engine, select

from asyncflow import CloudEvents, Outbox
from asyncflow.errors import (
    EncryptionError,
    InvalidHeadersError,
    OptionError,
    PayloadAlteredError,
    PayloadTooLargeError,
)
from asyncflow.integrations.encryption import AesGcm, EncryptedPayload, PayloadFacts, decrypt_message, make_key
from asyncflow.outbox.encryption.encryption import Encryption
from asyncflow.outbox.encryption.marks import is_encrypted, marked, unmarked
from asyncflow.outbox.task import FOLLOW_UP, headers_of

KEYS: dict[str, bytes | str] = {"k1": make_key()}
FACTS = PayloadFacts(uuid.UUID(int=7), "mail", "A1", {})


class Naming:
    """Encrypt nothing, under any name."""

    def __init__(self, algorithm: Any, key_id: Any) -> None:
        self.names = (algorithm, key_id)

    def encrypt(self, payload: bytes, facts: PayloadFacts, /) -> EncryptedPayload:
        return EncryptedPayload(payload, *self.names)

    def decrypt(self, encrypted: EncryptedPayload, facts: PayloadFacts, /) -> bytes:
        raise RuntimeError(f"the vault is away, and holds {encrypted.content!r}")


def outbox_of(**options: Any) -> Outbox:
    return Outbox(MetaData(), **{"encryption": AesGcm(KEYS, "k1"), **options})


def row(outbox: Outbox) -> Any:
    return written(outbox)[0]


def written(outbox: Outbox, *calls: Any) -> list[Any]:
    """Return the rows that calls with a connection have written."""
    engine = create_engine("sqlite://")
    outbox.tasks.metadata.create_all(engine)
    with engine.begin() as connection:
        for call in calls:
            call(connection)
        return list(connection.execute(select(outbox.tasks)))


def test_marks_tell_the_algorithm_and_the_key_and_go_away_again() -> None:
    headers = marked('{"own":"x"}', EncryptedPayload(b"", "A256GCM", "k1"))
    assert is_encrypted(headers)
    assert orjson.loads(headers) == {"own": "x", "payload-encryption": "A256GCM", "payload-key-id": "k1"}
    assert headers_of(headers) == {"own": "x"}
    assert unmarked(headers) == '{"own":"x"}'
    assert unmarked(marked(None, EncryptedPayload(b"", "A256GCM", "k1"))) is None


@pytest.mark.parametrize("headers", [None, '{"own":"payload-encryption"}', '{"own":"\\"payload-encryption\\":"}'])
def test_what_only_reads_like_a_mark_is_none(headers: str | None) -> None:
    assert not is_encrypted(headers)


def test_the_marks_of_a_follow_up_are_not_those_of_its_task() -> None:
    follow_up = {FOLLOW_UP: {"headers": {"payload-encryption": "A256GCM", "payload-key-id": "k1"}}}
    assert not is_encrypted(orjson.dumps(follow_up).decode())
    assert is_encrypted(orjson.dumps({**follow_up, "payload-encryption": "A256GCM"}).decode())


@pytest.mark.parametrize("name", ["payload-encryption", "Payload-Key-Id"])
def test_nobody_gives_marks_of_his_own(name: str) -> None:
    outbox = outbox_of()
    outbox.message("mail")
    with pytest.raises(InvalidHeadersError, match="written by asyncflow itself"):
        written(outbox, lambda connection: outbox.publish(connection, "mail", {}, headers={name: "x"}))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"encryption": KEYS}, "encryption is a dict; give what has"),  # and no key is shown
        ({"encryption": "aes"}, "encryption is a str; give what has"),
        ({"encryption": object()}, "encrypt\\(\\) and decrypt\\(\\)"),
    ],
)
def test_what_is_no_hook_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        outbox_of(**options)


def test_a_type_asks_for_what_there_is() -> None:
    with pytest.raises(OptionError, match="its outbox has none"):
        Outbox(MetaData()).message("mail", encryption="end_to_end")
    with pytest.raises(OptionError, match="its outbox has none"):
        Outbox(MetaData()).task("mail", encryption="at_rest")
    with pytest.raises(OptionError, match="encryption is 'always'"):
        outbox_of().message("mail", encryption="always")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="which is for messages"):
        outbox_of().task("mail", encryption="end_to_end")
    Outbox(MetaData()).message("mail", encryption="off")
    with pytest.raises(OptionError, match="messages of the encryption"):
        outbox_of(encryption=AesGcm(KEYS, "k1", messages="sometimes"))  # type: ignore[arg-type]


def test_each_type_says_for_itself_and_the_hook_for_the_others() -> None:
    outbox = outbox_of(encryption=AesGcm(KEYS, "k1", messages="end_to_end"))
    kinds = [outbox.message("a"), outbox.message("b", encryption="at_rest"), outbox.message("c", encryption="off")]
    assert [outbox.encryption.of(kind) for kind in kinds] == ["end_to_end", "at_rest", "off"]
    outbox.task("d")
    assert outbox.encryption.of(outbox.handler_types["d"]) == "at_rest"
    assert Encryption(None).of(kinds[1]) == "off"


def test_rows_hold_ciphertext_of_those_types_that_are_encrypted() -> None:
    outbox = outbox_of()
    outbox.message("mail")
    outbox.message("open", encryption="off")
    outbox.task("call")
    mail, call, opened = written(
        outbox,
        lambda connection: outbox.publish(connection, "mail", {"secret": 1}, key="A1", headers={"own": "x"}),
        lambda connection: outbox.enqueue(connection, "call", secret=2),
        lambda connection: outbox.publish(connection, "open", {"secret": 3}),
    )
    assert b"secret" not in mail.payload + call.payload
    assert orjson.loads(mail.headers)["payload-key-id"] == "k1"
    assert (opened.payload, opened.headers) == (b'{"secret":3}', None)
    for one, payload in ((mail, b'{"secret":1}'), (call, b'{"secret":2}')):
        opening = outbox.encryption.open(one.id, one.task_type, one.task_key, one.headers, one.payload)
        assert opening.payload == payload
    with pytest.raises(PayloadAlteredError):
        outbox.encryption.open(call.id, "call", None, call.headers, mail.payload)


def test_messages_of_a_builder_have_nothing_to_encrypt() -> None:
    outbox = outbox_of()
    outbox.message("mail")(lambda session, tasks: [{} for _ in tasks])
    (one,) = written(outbox, lambda connection: outbox.publish(connection, "mail"))
    assert (one.payload, one.headers) == (None, None)


def test_the_limit_counts_the_ciphertext() -> None:
    outbox = outbox_of(max_message_bytes=200)
    outbox.message("mail")
    written(outbox, lambda connection: outbox.publish(connection, "mail", b"x" * 60))
    with pytest.raises(PayloadTooLargeError, match="encrypted, the message is"):
        written(outbox, lambda connection: outbox.publish(connection, "mail", b"x" * 150))


def test_an_event_of_json_counts_as_base64_when_it_travels_encrypted() -> None:
    events = CloudEvents(source="/shop", mode="structured")
    outbox = outbox_of(max_message_bytes=3000, cloudevents=events)
    outbox.message("rest")
    outbox.message("end", encryption="end_to_end")
    payload = {"text": "x" * 1900}
    written(outbox, lambda connection: outbox.publish(connection, "rest", payload))
    with pytest.raises(PayloadTooLargeError):
        written(outbox, lambda connection: outbox.publish(connection, "end", payload))


@pytest.mark.parametrize("names", [("A256GCM", ""), ("A256GCM", "k" * 129), ("", "k1"), ("é", "k1"), (None, "k1")])
def test_names_that_no_header_can_have_are_refused(names: tuple[Any, Any]) -> None:
    outbox = outbox_of(encryption=Naming(*names))
    outbox.message("mail")
    with pytest.raises(EncryptionError, match="of the encryption hook is"):
        written(outbox, lambda connection: outbox.publish(connection, "mail", {}))


def test_what_a_hook_raises_is_told_by_its_name_alone() -> None:
    encryption = Encryption(Naming("none", "k1"))
    with pytest.raises(EncryptionError, match="with key 'k1': RuntimeError") as caught:
        encryption.decrypt(EncryptedPayload(b"secret", "none", "k1"), FACTS)
    assert "secret" not in str(caught.value)


def test_a_process_without_a_hook_says_what_it_needs() -> None:
    with pytest.raises(EncryptionError, match=r"give its Outbox\(encryption=\.\.\.\)"):
        Encryption(None).decrypt(EncryptedPayload(b"", "A256GCM", "k1"), FACTS)


def test_a_consumer_decrypts_by_the_headers_of_the_message() -> None:
    cipher = AesGcm(KEYS, "k1")
    encrypted = cipher.encrypt(b"secret", FACTS)
    headers: dict[str, bytes | str] = {
        "message-id": str(FACTS.id),
        "message-type": "mail",
        "payload-encryption": b"A256GCM",
        "payload-key-id": b"k1",
        "own": b"x",
    }
    message = decrypt_message(cipher, encrypted.content, headers, key=b"A1")
    assert message.payload == b"secret"
    assert message.headers == {"message-id": str(FACTS.id).encode(), "message-type": b"mail", "own": b"x"}
    assert decrypt_message(cipher, b"plain", {"own": b"x"}).payload == b"plain"
    with pytest.raises(PayloadAlteredError):
        decrypt_message(cipher, encrypted.content, headers, key=b"A2")
    with pytest.raises(PayloadAlteredError, match="lacks 'message-id'"):
        decrypt_message(cipher, encrypted.content, {"payload-encryption": b"A256GCM"}, key=b"A1")
    with pytest.raises(PayloadAlteredError, match="cannot be read"):
        decrypt_message(cipher, encrypted.content, {**headers, "own": b"\xff"}, key=b"A1")


def test_bodies_are_compared_by_a_keyed_digest_where_there_is_one() -> None:
    plain, keyed = AesGcm(KEYS, "k1"), AesGcm(KEYS, "k1", digest_secret=b"s" * 16)
    assert Encryption(None).digest(b"x") == Encryption(plain).digest(b"x")
    assert Encryption(keyed).digest(b"x") not in (Encryption(plain).digest(b"x"), b"x")
