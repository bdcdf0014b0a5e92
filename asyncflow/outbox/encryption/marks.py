"""The marks of an encrypted payload: headers beside it that tell the algorithm and the key."""

from __future__ import annotations

import orjson

from asyncflow.errors import EncryptionError
from asyncflow.outbox.encryption.hook import EncryptedPayload
from asyncflow.outbox.task import ALGORITHM, FOLLOW_UP, KEY_ID
from asyncflow.text import shown

_MOST_ALGORITHM, _MOST_KEY_ID = 64, 128


def is_encrypted(headers: str | None) -> bool:
    """Tell whether the payload beside these headers, as a row has them, is encrypted; costs a look."""
    if headers is None or f'"{ALGORITHM}":' not in headers:
        return False
    return FOLLOW_UP not in headers or ALGORITHM in orjson.loads(headers)  # it may be the follow-up's


def marked(headers: str | None, encrypted: EncryptedPayload) -> str:
    """Return headers that tell of an encrypted payload; raises EncryptionError for names that no header can have."""
    _require_name("algorithm", encrypted.algorithm, _MOST_ALGORITHM)
    _require_name("key_id", encrypted.key_id, _MOST_KEY_ID)
    given = {} if headers is None else orjson.loads(headers)
    return orjson.dumps({**given, ALGORITHM: encrypted.algorithm, KEY_ID: encrypted.key_id}).decode()


def unmarked(headers: str) -> str | None:
    """Return the headers of a payload that was decrypted."""
    given = orjson.loads(headers)
    for name in (ALGORITHM, KEY_ID):
        given.pop(name, None)
    return orjson.dumps(given).decode() if given else None


def encrypted_in(headers: str, content: bytes) -> EncryptedPayload:
    """Return the payload with what its marks tell."""
    given = orjson.loads(headers)
    return EncryptedPayload(content, given[ALGORITHM], given.get(KEY_ID, ""))


def _require_name(name: str, value: object, most: int) -> None:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not 0 < len(value) <= most:
        raise EncryptionError(
            f"{name} of the encryption hook is {shown(value)}; return 1 to {most} printable characters of ASCII"
        )
