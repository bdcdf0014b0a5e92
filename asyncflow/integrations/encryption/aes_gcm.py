"""AES-256 in Galois/Counter Mode, as NIST SP 800-38D has it."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Literal

from asyncflow.errors import EncryptionError, OptionError, PayloadAlteredError
from asyncflow.integrations.encryption.extras import aead
from asyncflow.integrations.encryption.keys import GivenKeys, KeyRing
from asyncflow.outbox.encryption.hook import EncryptedPayload, PayloadFacts
from asyncflow.text import shown

ALGORITHM = "A256GCM"
_NONCE_BYTES, _TAG_BYTES = 12, 16
_LEAST_SECRET = 16


class AesGcm:
    """Encrypt payloads with AES-256-GCM; made once, given as ``Outbox(encryption=...)``, any thread uses it.

    ``keys``: 32 bytes, or their base64, by name; a mapping, which may change while it is used, or a function of a name
    that returns None for a key that is gone. ``current``: the name of the key that encrypts, or a function of the
    PayloadFacts that returns it, such as a tenant's. ``messages``: ``"at_rest"``, they are decrypted before they are
    sent, or ``"end_to_end"``, for their consumers to decrypt. ``digest_secret``: at least 16 bytes that never change,
    by which the task service digests bodies of idempotency keys; None: it has a digest without a key.

    A payload has a nonce of 96 random bits in front and a tag of 128 behind: 28 bytes more. Give a key to no more than
    2**32 payloads. Raises OptionError, which shows no key, or MissingExtraError.
    """

    def __init__(
        self,
        keys: GivenKeys,
        current: str | Callable[[PayloadFacts], str],
        *,
        messages: Literal["at_rest", "end_to_end"] = "at_rest",
        digest_secret: bytes | None = None,
    ) -> None:
        self._aead = aead()
        self._ring = KeyRing(keys)
        if not callable(current) and not isinstance(current, str):
            raise OptionError(f"current is {shown(current)}; give the name of a key, or a function that returns it")
        if isinstance(current, str):
            self._require_there(current)
        if digest_secret is not None and (not isinstance(digest_secret, bytes) or len(digest_secret) < _LEAST_SECRET):
            raise OptionError(f"digest_secret is too short, or no bytes; give {_LEAST_SECRET} bytes at least")
        self._current = current
        self._digest_secret = digest_secret
        self.messages = messages

    def __repr__(self) -> str:
        return f"<AesGcm: {self.messages}>"

    def encrypt(self, payload: bytes, facts: PayloadFacts, /) -> EncryptedPayload:
        """Return the payload encrypted by the current key; raises KeyGoneError if that is not there."""
        key_id = self._current(facts) if callable(self._current) else self._current
        if not isinstance(key_id, str):
            raise EncryptionError(f"current() returned {shown(key_id)}; return the name of a key")
        nonce = os.urandom(_NONCE_BYTES)
        cipher = self._aead.AESGCM(self._ring.key(key_id))
        sealed: bytes = cipher.encrypt(nonce, payload, facts.bound(ALGORITHM, key_id))
        return EncryptedPayload(nonce + sealed, ALGORITHM, key_id)

    def decrypt(self, encrypted: EncryptedPayload, facts: PayloadFacts, /) -> bytes:
        """Return the payload; raises KeyGoneError, or PayloadAlteredError for what its key does not vouch for."""
        if encrypted.algorithm != ALGORITHM:
            raise EncryptionError(f"the payload is encrypted by {encrypted.algorithm!r}; AesGcm knows {ALGORITHM}")
        cipher = self._aead.AESGCM(self._ring.key(encrypted.key_id))
        nonce, sealed = encrypted.content[:_NONCE_BYTES], encrypted.content[_NONCE_BYTES:]
        if len(sealed) < _TAG_BYTES:
            raise PayloadAlteredError("the encrypted payload is cut short")
        try:
            payload: bytes = cipher.decrypt(nonce, sealed, facts.bound(ALGORITHM, encrypted.key_id))
        except Exception as error:
            if type(error).__name__ != "InvalidTag":
                raise
            raise PayloadAlteredError(
                "the encrypted payload was changed, is another task's, or was written with another key of this name"
            ) from None
        return payload

    def digest(self, content: bytes) -> bytes:
        """Return a digest of what is compared and must not be guessed."""
        if self._digest_secret is None:
            return hashlib.sha256(content).digest()
        return hmac.new(self._digest_secret, content, hashlib.sha256).digest()

    def _require_there(self, key_id: str) -> None:
        try:
            self._ring.key(key_id)
        except EncryptionError as error:
            raise OptionError(f"current is {key_id!r}: {error}; give the name of a key that is there") from None
