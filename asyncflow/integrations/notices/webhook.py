"""A webhook of one's own: JSON, signed together with its time."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable

from asyncflow.errors import OptionError
from asyncflow.integrations.notices.posting import as_json, post, require_url
from asyncflow.scheduler.notices import Notice

TIMESTAMP, SIGNATURE = "X-Asyncflow-Timestamp", "X-Asyncflow-Signature"


class Webhook:
    """Be a channel that posts a notice as JSON.

    With a ``secret`` it is signed: the header X-Asyncflow-Signature is ``v1=`` and, in hex, the HMAC-SHA256 of
    X-Asyncflow-Timestamp (seconds since 1970), a dot, and the body. Who takes it compares in constant time, and
    refuses what is older than some minutes. Raises OptionError.
    """

    def __init__(self, url: str, secret: str | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._url = require_url(url)
        if secret is not None and (not isinstance(secret, str) or len(secret) < 16):
            raise OptionError("the secret of a webhook is no text of 16 characters or more; give such a one, or none")
        self._secret = None if secret is None else secret.encode()
        self._clock = clock

    def send(self, notice: Notice) -> None:
        """Post it; raises NoticeNotSentError."""
        body, timestamp = as_json(notice.as_dict()), str(int(self._clock()))
        headers = {TIMESTAMP: timestamp}
        if self._secret is not None:
            headers[SIGNATURE] = signature_of(self._secret, timestamp, body)
        post(self._url, body, headers)


def signature_of(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the signature of a body that is sent at a time."""
    return f"v1={hmac.new(secret, timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"
