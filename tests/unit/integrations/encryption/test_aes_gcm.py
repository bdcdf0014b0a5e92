"""AES-256-GCM: what one key encrypts only it decrypts, for the same task alone, and no text shows a key."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from asyncflow.errors import EncryptionError, KeyGoneError, OptionError, PayloadAlteredError
from asyncflow.integrations.encryption import AesGcm, EncryptedPayload, PayloadEncryption, PayloadFacts, make_key

SECRET = b"the answer is 42"
ONE = PayloadFacts(uuid.UUID(int=1), "mail", "A1", {"tenant": "t1"})


def test_what_is_encrypted_comes_back_and_is_nowhere_in_the_ciphertext() -> None:
    cipher = AesGcm({"k1": make_key()}, "k1")
    encrypted = cipher.encrypt(SECRET, ONE)
    assert isinstance(cipher, PayloadEncryption)
    assert (encrypted.algorithm, encrypted.key_id) == ("A256GCM", "k1")
    assert SECRET not in encrypted.content
    assert len(encrypted.content) == len(SECRET) + 28
    assert cipher.decrypt(encrypted, ONE) == SECRET


def test_another_program_decrypts_it_by_what_is_documented() -> None:
    key = make_key()
    encrypted = AesGcm({"k1": key}, "k1").encrypt(SECRET, ONE)
    bound = b'["00000000-0000-0000-0000-000000000001","mail","A1","A256GCM","k1"]'
    raw = AESGCM(base64.b64decode(key)).decrypt(encrypted.content[:12], encrypted.content[12:], bound)
    assert raw == SECRET


def test_no_nonce_is_used_twice() -> None:
    cipher = AesGcm({"k1": make_key()}, "k1")
    assert len({cipher.encrypt(SECRET, ONE).content[:12] for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "other",
    [
        ONE._replace(id=uuid.UUID(int=2)),
        ONE._replace(task_type="sms"),
        ONE._replace(key="A2"),
        ONE._replace(key=None),
    ],
)
def test_what_belongs_to_another_task_is_found_out(other: PayloadFacts) -> None:
    cipher = AesGcm({"k1": make_key()}, "k1")
    with pytest.raises(PayloadAlteredError, match="another task's"):
        cipher.decrypt(cipher.encrypt(SECRET, ONE), other)


def test_headers_may_change_on_the_way() -> None:
    cipher = AesGcm({"k1": make_key()}, "k1")
    assert cipher.decrypt(cipher.encrypt(SECRET, ONE), ONE._replace(headers={})) == SECRET


@pytest.mark.parametrize("place", [0, 11, 12, 27, -1])
def test_each_changed_byte_is_found_out(place: int) -> None:
    cipher = AesGcm({"k1": make_key()}, "k1")
    content = bytearray(cipher.encrypt(SECRET, ONE).content)
    content[place] ^= 1
    with pytest.raises(PayloadAlteredError):
        cipher.decrypt(EncryptedPayload(bytes(content), "A256GCM", "k1"), ONE)


@pytest.mark.parametrize("length", [0, 5, 12, 27])
def test_what_is_cut_short_is_found_out(length: int) -> None:
    cipher = AesGcm({"k1": make_key()}, "k1")
    content = cipher.encrypt(SECRET, ONE).content[:length]
    with pytest.raises(PayloadAlteredError):
        cipher.decrypt(EncryptedPayload(content, "A256GCM", "k1"), ONE)


def test_a_key_cannot_be_passed_off_as_another_one_of_the_same_bytes() -> None:
    key = make_key()
    cipher = AesGcm({"k1": key, "k2": key}, "k1")
    with pytest.raises(PayloadAlteredError):
        cipher.decrypt(cipher.encrypt(SECRET, ONE)._replace(key_id="k2"), ONE)


def test_old_keys_still_decrypt_when_a_new_one_is_current() -> None:
    keys = {"k1": make_key()}
    before = AesGcm(keys, "k1").encrypt(SECRET, ONE)
    rotated = AesGcm({**keys, "k2": make_key()}, "k2")
    assert rotated.encrypt(SECRET, ONE).key_id == "k2"
    assert rotated.decrypt(before, ONE) == SECRET


def test_a_tenants_key_is_chosen_by_its_headers_and_gone_at_once_when_it_is_deleted() -> None:
    keys: dict[str, bytes | str] = {"t1": make_key(), "t2": make_key()}
    cipher = AesGcm(keys, lambda facts: facts.headers["tenant"])
    encrypted = cipher.encrypt(SECRET, ONE)
    assert encrypted.key_id == "t1"
    del keys["t1"]
    with pytest.raises(KeyGoneError, match="'t1' is gone"):
        cipher.decrypt(encrypted, ONE)
    with pytest.raises(KeyGoneError):
        cipher.encrypt(SECRET, ONE)
    other = ONE._replace(headers={"tenant": "t2"})
    assert cipher.decrypt(cipher.encrypt(SECRET, other), other) == SECRET


def test_a_function_may_have_the_keys() -> None:
    key = make_key()
    cipher = AesGcm(lambda name: key if name == "k1" else None, "k1")
    assert cipher.decrypt(cipher.encrypt(SECRET, ONE), ONE) == SECRET
    with pytest.raises(KeyGoneError):
        cipher.decrypt(cipher.encrypt(SECRET, ONE)._replace(key_id="k9"), ONE)


@pytest.mark.parametrize(
    ("keys", "current", "told"),
    [
        ({"k1": b"short-but-secret"}, "k1", "the key 'k1' has 16 bytes"),
        ({"k1": "not base64, but secret"}, "k1", "the key 'k1' is no base64"),
        ({"k1": 17}, "k1", "the key 'k1' is an int"),
        ({1: make_key()}, "k1", "a key's name is an int"),
        ({"": make_key()}, "", "a key's name is ''; give 1 to 128"),
        ({"ключ": make_key()}, "ключ", "a key's name is 'ключ'; give 1 to 128 printable characters of ASCII"),
        ({"k" * 129: make_key()}, "k" * 129, "a key's name is 'kkk"),
        ("secret", "k1", "keys is a str"),
        ({"k1": make_key()}, "k2", "current is 'k2'"),
        ({"k1": make_key()}, None, "current is None"),
    ],
)
def test_a_key_that_is_none_is_refused_and_never_shown(keys: Any, current: Any, told: str) -> None:
    with pytest.raises(OptionError, match=told) as caught:
        AesGcm(keys, current)
    assert "secret" not in str(caught.value)


def test_a_digest_secret_is_long_enough_and_changes_the_digest() -> None:
    key = make_key()
    with pytest.raises(OptionError, match="digest_secret"):
        AesGcm({"k1": key}, "k1", digest_secret=b"short")
    digests = {AesGcm({"k1": key}, "k1", digest_secret=one).digest(SECRET) for one in (None, b"a" * 16, b"b" * 16)}
    assert len(digests) == 3


def test_nothing_that_is_shown_of_it_is_secret() -> None:
    key = make_key()
    cipher = AesGcm({"k1": key}, "k1", digest_secret=b"digest-secret-of-16")
    told = f"{cipher!r} {cipher._ring!r} {cipher}"
    assert key not in told
    assert "digest-secret" not in told


def test_an_algorithm_that_it_does_not_know_may_be_anothers() -> None:
    cipher = AesGcm({"k1": make_key()}, "k1")
    with pytest.raises(EncryptionError, match="XChaCha") as caught:
        cipher.decrypt(cipher.encrypt(SECRET, ONE)._replace(algorithm="XChaCha"), ONE)
    assert not isinstance(caught.value, (KeyGoneError, PayloadAlteredError))
