"""Keys with names, looked up each time, so that one that is deleted is gone at once."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from asyncflow.errors import EncryptionError, KeyGoneError, OptionError
from asyncflow.text import a_type_of, shown

KEY_BYTES = 32
_LONGEST = 128  # characters of a name
GivenKeys = Mapping[str, "bytes | str"] | Callable[[str], "bytes | str | None"]
_WANTED = "give 32 bytes, or their base64, as make_key() returns them"


def make_key() -> str:
    """Return a new key: 32 random bytes in base64."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


class KeyRing:
    """Look keys up by name, in a mapping that may change or by a function; shows none of them."""

    __slots__ = ("_keys",)

    def __init__(self, keys: GivenKeys) -> None:
        """Raise OptionError, which shows no key."""
        if not isinstance(keys, Mapping) and not callable(keys):
            raise OptionError(f"keys is {a_type_of(keys)}; give a mapping of names to keys, or a function")
        if isinstance(keys, Mapping):
            for key_id, key in keys.items():
                _require_name(key_id)
                _bytes_of(key_id, key, OptionError)
        self._keys = keys

    def __repr__(self) -> str:
        return "<KeyRing>"

    def key(self, key_id: str) -> bytes:
        """Return a key; raises KeyGoneError for one that is not there."""
        found = self._keys.get(key_id) if isinstance(self._keys, Mapping) else self._keys(key_id)
        if found is None:
            raise KeyGoneError(f"the key {key_id!r} is gone; what it encrypted cannot be read any more")
        return _bytes_of(key_id, found, EncryptionError)


def _require_name(key_id: Any) -> None:
    """Refuse what no header can have: the name stands beside each payload."""
    told = a_type_of(key_id) if not isinstance(key_id, str) else shown(key_id)
    if (
        not isinstance(key_id, str)
        or not (key_id.isascii() and key_id.isprintable())
        or not 0 < len(key_id) <= _LONGEST
    ):
        raise OptionError(f"a key's name is {told}; give 1 to {_LONGEST} printable characters of ASCII")


def _bytes_of(key_id: str, key: Any, fault: type[Exception]) -> bytes:
    try:
        whole = base64.b64decode(key, validate=True) if isinstance(key, str) else key
    except (binascii.Error, ValueError):
        raise fault(f"the key {key_id!r} is no base64; {_WANTED}") from None
    if not isinstance(whole, (bytes, bytearray)) or len(whole) != KEY_BYTES:
        told = f"has {len(whole)} bytes" if isinstance(whole, (bytes, bytearray)) else f"is {a_type_of(key)}"
        raise fault(f"the key {key_id!r} {told}; {_WANTED}")
    return bytes(whole)
