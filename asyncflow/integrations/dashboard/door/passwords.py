"""Passwords, of which only hashes by scrypt (RFC 7914) are kept."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import NamedTuple

from asyncflow.errors import OptionError

SHORTEST, LONGEST = 12, 1024  # characters
_SALT_BYTES, _KEY_BYTES = 16, 32
_MOST_MEMORY = 256 * 1024 * 1024  # bytes, that a hash may ask for
_MOST_ROUNDS = 16


class Cost(NamedTuple):
    """Tell what a hash costs: ``2 ** log_n * r * 128`` bytes, ``p`` times."""

    log_n: int = 15
    r: int = 8
    p: int = 1

    @property
    def memory(self) -> int:
        """Return the bytes that it takes."""
        return (1 << self.log_n) * self.r * 128


class PasswordHash:
    """Hold a hash; ``text`` is its form in a file: ``scrypt$15$8$1$SALT$KEY``. Raises OptionError."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            name, log_n, r, p, salt, key = text.split("$")
            self._cost = Cost(int(log_n), int(r), int(p))
            self._salt, self._key = base64.b64decode(salt, validate=True), base64.b64decode(key, validate=True)
        except (ValueError, AttributeError, binascii.Error):
            raise OptionError(_NO_HASH) from None
        cost = self._cost
        is_sound = 10 <= cost.log_n <= 24 and 1 <= cost.r <= 64 and 1 <= cost.p <= _MOST_ROUNDS
        if name != "scrypt" or not is_sound or cost.memory > _MOST_MEMORY or len(self._key) != _KEY_BYTES:
            raise OptionError(_NO_HASH)

    @classmethod
    def of(cls, password: str, cost: Cost | None = None) -> PasswordHash:
        """Hash a password with a salt of its own; raises OptionError for one that is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise OptionError(f"the password has {len(password)} characters; give {SHORTEST} to {LONGEST}")
        cost, salt = cost or Cost(), os.urandom(_SALT_BYTES)
        key = _derived(password, salt, cost)
        parts = (str(cost.log_n), str(cost.r), str(cost.p), *(base64.b64encode(one).decode() for one in (salt, key)))
        return cls("$".join(("scrypt", *parts)))

    def is_of(self, password: str) -> bool:
        """Tell whether it is the hash of a password; takes some tenths of a second, on purpose."""
        return hmac.compare_digest(_derived(password[:LONGEST], self._salt, self._cost), self._key)

    def __repr__(self) -> str:
        return "<PasswordHash>"


def _derived(password: str, salt: bytes, cost: Cost) -> bytes:
    given = password.encode(errors="surrogatepass")
    limit = 2 * cost.memory + 1024 * 1024
    return hashlib.scrypt(given, salt=salt, n=1 << cost.log_n, r=cost.r, p=cost.p, maxmem=limit, dklen=_KEY_BYTES)


_NO_HASH = "scrypt is no hash of a password; make one with: asyncflow dashboard --hash NAME"
