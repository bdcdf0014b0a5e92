"""The keys by which tasks that are enqueued may be others' already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from asyncflow.errors import InvalidKeyError
from asyncflow.outbox.dedupe import idempotency_key_of
from asyncflow.outbox.message import Call, Message
from asyncflow.outbox.unique.unique_keys import unique_key_of


class Keys(NamedTuple):
    """Hold the keys of some tasks, in their order; None for a kind of which none has one."""

    idempotency: Sequence[str | None] | None = None
    unique: Sequence[str | None] | None = None

    @classmethod
    def of_messages(cls, messages: Sequence[Message]) -> Keys:
        """Return the keys; raises InvalidKeyError."""
        return cls([idempotency_key_of(one.idempotency_key) for one in messages])

    @classmethod
    def of_calls(cls, calls: Sequence[Call]) -> Keys | None:
        """Return the keys, None if there is none at all; raises InvalidKeyError."""
        if all(one.idempotency_key is None and one.unique_key is None for one in calls):
            return None
        idempotency = [idempotency_key_of(one.idempotency_key) for one in calls]
        unique = [unique_key_of(one.unique_key) for one in calls]
        for one, other in zip(idempotency, unique, strict=True):
            if one is not None and other is not None:
                raise InvalidKeyError(
                    "idempotency_key and unique_key are both given, and each would name another task; give the "
                    "idempotency_key for what happens once, the unique_key for what may happen again later"
                )
        return cls(idempotency if any(idempotency) else None, unique if any(unique) else None)
