"""The seam to whoever has the keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable
from uuid import UUID

import orjson


class PayloadFacts(NamedTuple):
    """Tell whose payload it is; all of it but the headers is the same wherever the payload is decrypted."""

    id: UUID  # of the task, which is the message id downstream
    task_type: str
    key: str | None
    headers: Mapping[str, str]  # as they were given; at a consumer, those that came

    def bound(self, algorithm: str, key_id: str) -> bytes:
        """Return what binds a ciphertext to its task, for the associated data of an AEAD: it fits no other row."""
        return orjson.dumps([str(self.id), self.task_type, self.key, algorithm, key_id])


class EncryptedPayload(NamedTuple):
    """Hold a payload as it is kept, and what names the key that opens it."""

    content: bytes
    algorithm: str  # up to 64 characters of ASCII, such as A256GCM
    key_id: str  # up to 128 characters of ASCII; no secret, for it is written beside the payload


@runtime_checkable
class PayloadEncryption(Protocol):
    """Encrypt and decrypt payloads; given to an Outbox, and called on any thread.

    ``encrypt`` is called within the caller's transaction, before anything is written, and ``decrypt`` on the thread of
    a handler's attempt, or of a relay: keep both quick, with data keys at hand. What they raise goes to the caller, or
    is a failed attempt; KeyGoneError and PayloadAlteredError fail the task at once. Their texts go into logs.

    It may have two more: ``messages``, ``"at_rest"`` or ``"end_to_end"`` (the default is the first), for messages of
    types that say nothing else; and ``digest(content) -> bytes``, a keyed digest by which the task service compares
    the bodies of repeated idempotency keys.
    """

    def encrypt(self, payload: bytes, facts: PayloadFacts, /) -> EncryptedPayload:
        """Return the payload encrypted, with a fresh nonce each time."""
        ...

    def decrypt(self, encrypted: EncryptedPayload, facts: PayloadFacts, /) -> bytes:
        """Return the payload; raises KeyGoneError without its key, PayloadAlteredError for what it does not fit."""
        ...
