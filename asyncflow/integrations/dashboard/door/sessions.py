"""Signed sessions: who has signed in, until when; kept by the browser, and by nobody else."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

import orjson

from asyncflow.errors import OptionError

_LEAST_SECRET = 32  # bytes


class SignedSession(NamedTuple):
    """Hold who has signed in, and what of the user must still be so for it to hold."""

    name: str
    mark: str
    until: float


class Sessions:
    """Sign sessions and read them again; any thread may call, and any process that has the same ``secret``.

    Without one it is random: sessions end with the process, and are not known in others. Raises OptionError.
    """

    def __init__(self, secret: str | bytes | None, seconds: float, clock: Callable[[], float] = time.time) -> None:
        given = secret.encode() if isinstance(secret, str) else secret
        if given is not None and len(given) < _LEAST_SECRET:
            raise OptionError(f"secret is shorter than {_LEAST_SECRET} bytes; make one with: openssl rand -hex 32")
        self._key = hashlib.sha256(b"asyncflow dashboard session\0" + (given or secrets.token_bytes(32))).digest()
        self.seconds = seconds
        self._clock = clock

    def signed(self, name: str, mark: str) -> str:
        """Return the text of a session that begins now."""
        body = orjson.dumps([name, mark, self._clock() + self.seconds])
        return f"{_text(body)}.{_text(self._signature(body))}"

    def read(self, text: str) -> SignedSession | None:
        """Return the session of a text; None for one that was not signed here, or is over."""
        try:
            body, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in text.split("."))
        except (ValueError, binascii.Error):
            return None
        if not hmac.compare_digest(signature, self._signature(body)):
            return None
        session = SignedSession(*orjson.loads(body))
        return session if session.until > self._clock() else None

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")


def _text(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")
