"""Slots: a key belongs to one of 4,096, by a hash that every language has; a slot belongs to one of several names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

SLOTS = 4096  # three hexadecimal digits
_DIGITS = 3


def slot_of(key: str) -> int:
    """Return the slot of a key: the number that the first three hexadecimal digits of its SHA-256 are.

    In SQL: ``CONV(LEFT(SHA2(account_no, 256), 3), 16, 10)``.
    """
    return int(hashlib.sha256(key.encode()).hexdigest()[:_DIGITS], 16)


def owner_of(slot: int, names: Iterable[str]) -> str:
    """Return whose slot it is: of the name that has, with it, the greatest SHA-256, as text ``slot/name``.

    That is rendezvous hashing (Thaler and Ravishankar, 1998): a name that is added takes an equal part from each of the
    others, and nothing else moves.
    """
    return max(names, key=lambda name: hashlib.sha256(f"{slot}/{name}".encode()).digest())
