"""Signatures by the scheme of Standard Webhooks: HMAC-SHA256 of id, time and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as random
from collections.abc import Sequence

from asyncflow.errors import OptionError

PREFIX = "whsec_"
VERSION = "v1"
LEAST_BYTES, MOST_BYTES = 24, 64
WANTED = "give whsec_ and 24 to 64 random bytes in base64, as make_secret() returns them; several in a list"
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def make_secret() -> str:
    """Return a new secret: ``whsec_`` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(random.token_bytes(32)).decode()


class SigningKeys:
    """Sign with each of some secrets, so that one can be replaced while receivers know either; shows none of them."""

    __slots__ = ("_keys",)

    def __init__(self, secrets: str | Sequence[str]) -> None:
        """Raise OptionError, which shows no secret."""
        each = [secrets] if isinstance(secrets, str) else secrets
        if not isinstance(each, (list, tuple)) or not each:
            raise OptionError(f"secrets is {'empty' if each == [] else 'a ' + type(secrets).__name__}; {WANTED}")
        self._keys = [_key_of(secret) for secret in each]

    def __repr__(self) -> str:
        return f"<SigningKeys: {len(self._keys)}>"

    def signatures(self, message_id: str, timestamp: str, body: bytes) -> list[str]:
        """Return the signature of each secret, in their order, as ``v1,`` and base64."""
        signed = f"{message_id}.{timestamp}.".encode() + body
        digests = [hmac.new(key, signed, hashlib.sha256).digest() for key in self._keys]
        return [f"{VERSION},{base64.b64encode(digest).decode()}" for digest in digests]


def _key_of(secret: object) -> bytes:
    if not isinstance(secret, str) or not secret.startswith(PREFIX):
        raise OptionError(f"a secret does not begin with {PREFIX}; {WANTED}")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise OptionError(f"a secret is no base64 behind {PREFIX}; {WANTED}") from None
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise OptionError(f"a secret has {len(key)} bytes; {WANTED}")
    return key
