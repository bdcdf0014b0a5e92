"""Messages as they arrive encrypted at a consumer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol
from uuid import UUID

from asyncflow.errors import OptionError, PayloadAlteredError
from asyncflow.outbox.encryption.hook import EncryptedPayload, PayloadFacts
from asyncflow.outbox.task import ALGORITHM, KEY_ID
from asyncflow.text import a_type_of

_ID, _TYPE = "message-id", "message-type"


class Decrypts(Protocol):
    """Be what has the keys: a PayloadEncryption, or an outbox's Encryption."""

    def decrypt(self, encrypted: EncryptedPayload, facts: PayloadFacts, /) -> bytes:
        """Return the payload in the clear."""
        ...


class ArrivedMessage(NamedTuple):
    """Hold a message in the clear, and its headers without the marks of an encryption."""

    payload: bytes
    headers: dict[str, bytes]


def decrypt_message(
    encryption: Decrypts, value: bytes, headers: Mapping[str, bytes | str], *, key: bytes | str | None = None
) -> ArrivedMessage:
    """Return a message that came from a broker in the clear; one that is not encrypted as it is.

    ``headers`` are those of the record by name, ``key`` is its key. Raises EncryptionError: KeyGoneError without its
    key, PayloadAlteredError where headers, key or value are not those that were sent. And OptionError.
    """
    if not isinstance(headers, Mapping):
        raise OptionError(f"headers is {a_type_of(headers)}; give them by name, as dict(record.headers or ())")
    given = {name: one.encode() if isinstance(one, str) else bytes(one) for name, one in headers.items()}
    if ALGORITHM not in given:
        return ArrivedMessage(value, given)
    try:
        texts = {name: one.decode() for name, one in given.items()}
        text_key = key.decode() if isinstance(key, bytes) else key
        facts = PayloadFacts(UUID(texts[_ID]), texts[_TYPE], text_key, texts)
        encrypted = EncryptedPayload(value, texts[ALGORITHM], texts[KEY_ID])
    except (KeyError, ValueError) as error:
        told = f"lacks {error}" if isinstance(error, KeyError) else "has headers that cannot be read"
        raise PayloadAlteredError(f"the encrypted message {told}; its headers are part of it") from None
    rest = {name: one for name, one in given.items() if name not in (ALGORITHM, KEY_ID)}
    return ArrivedMessage(encryption.decrypt(encrypted, facts), rest)
