"""The check of a webhook by who receives it."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence

from asyncflow.errors import InvalidSignatureError, OptionError
from asyncflow.integrations.webhooks.signing import ID, SIGNATURE, TIMESTAMP, VERSION, SigningKeys
from asyncflow.text import a_type_of

TOLERANCE_SECONDS = 300.0
_MOST_DIGITS = 12


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: str | Sequence[str],
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    clock: Callable[[], float] = time.time,
) -> str:
    """Return the id of a message that was signed with one of the ``secrets``, not long ago; it is the inbox's key.

    ``body`` are the bytes as they came, before anybody has parsed them; ``headers`` in any case of letters. Raises
    InvalidSignatureError for what is not so, which is to be answered with 400 or 401, and OptionError for what the
    receiver itself gave wrong.
    """
    if not isinstance(body, (bytes, bytearray)):
        raise OptionError(f"body is {a_type_of(body)}; give the bytes of the request, as they came")
    keys = SigningKeys(secrets)
    given = {str(name).lower(): value for name, value in headers.items()}
    message_id, timestamp, told = (_required(given, name) for name in (ID, TIMESTAMP, SIGNATURE))
    if "." in message_id:  # the parts of what is signed could be cut elsewhere
        raise InvalidSignatureError(f"the header {ID} holds a dot")
    _require_recent(timestamp, tolerance_seconds, clock())
    expected = keys.signatures(message_id, timestamp, bytes(body))
    found = [one.encode() for one in told.split() if one.startswith(f"{VERSION},")]
    if not any(hmac.compare_digest(ours.encode(), theirs) for ours in expected for theirs in found):
        raise InvalidSignatureError("no signature is one of ours: another secret, or the body was changed on its way")
    return message_id


def _required(headers: Mapping[str, object], name: str) -> str:
    value = headers.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidSignatureError(f"the header {name} is missing")
    return value


def _require_recent(timestamp: str, tolerance_seconds: float, now: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _MOST_DIGITS):
        raise InvalidSignatureError(f"the header {TIMESTAMP} is no number of seconds")
    apart = now - int(timestamp)
    if abs(apart) > tolerance_seconds:
        when = f"{apart:.0f} s ago" if apart > 0 else f"{-apart:.0f} s ahead"
        raise InvalidSignatureError(f"it was signed {when}; at most {tolerance_seconds:g} s are allowed")
