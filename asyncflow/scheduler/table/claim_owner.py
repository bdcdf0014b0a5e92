"""What the column ``owner`` of a task tells beside a name: whether its attempt is known to have begun.

=============  ===========================================================================================
NULL           PENDING: nothing is known against it
``~``          PENDING: a claim of it ran out or its worker died; the next death under it costs an attempt
``name``       PROCESSING: the attempt counts, unless the token says that the claim was to travel to its worker
``=name``      PROCESSING: the worker was heard of, and the attempt counts
``~name``      PROCESSING, for the first time: whether it has begun nobody has heard; it costs no attempt yet
``~~name``     PROCESSING again: it waits in a process, which writes ``name`` before it begins
=============  ===========================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID, uuid4

from asyncflow.outbox.tables import OWNER_LENGTH

MARK = "~"
SUSPECT = MARK
WAITING_SUSPECT = 2 * MARK
HEARD = "="
MARKS = (MARK, HEARD)
_VERSION_AT = 76  # the bits of a UUID's version
_OURS, _TRAVELLING = 4, 8  # 8 is free for custom ones


@dataclass(frozen=True)
class ClaimOwner:
    """Name who claims, and how rows say so whose attempts do not count yet: ``first``, and ``again`` for suspects."""

    name: str
    first: str
    again: str
    travels: bool = False

    @classmethod
    def in_process(cls, name: str) -> ClaimOwner:
        """Return that of an instance, which tells when a suspect begins."""
        return cls(name, _marked(MARK, name), _marked(WAITING_SUSPECT, name))

    @classmethod
    def elsewhere(cls, name: str) -> ClaimOwner:
        """Return that of a worker of a task service: of it is heard as it renews, and suspects count at once."""
        plain = name.lstrip(MARK + HEARD) or "worker"
        return cls(plain, plain, _marked(HEARD, plain), travels=True)

    @classmethod
    def by_queue(cls, queue: str) -> ClaimOwner:
        """Return that of a queue: whatever waits there has not begun, however often, until its worker is heard of."""
        name = f"queue:{queue}"[:OWNER_LENGTH]
        return cls(name, name, name, travels=True)

    def new_token(self) -> UUID:
        """Return a token for some claims."""
        token = uuid4()
        return UUID(int=token.int ^ (_OURS ^ _TRAVELLING) << _VERSION_AT) if self.travels else token


def names_in_rows(names: Iterable[str]) -> list[str]:
    """Return how rows may name these owners."""
    return [
        form for name in names for form in (name, *(_marked(mark, name) for mark in (MARK, WAITING_SUSPECT, HEARD)))
    ]


def is_unspent(owner: str | None, token: UUID | None) -> bool:
    """Tell whether the attempt of a claimed row is not known to have begun."""
    if owner is None or owner.startswith(MARKS):
        return owner is not None and owner.startswith(MARK)
    return travels(token)


def travels(token: UUID | None) -> bool:
    """Tell whether a claim was made for a worker of a task service."""
    return token is not None and token.int >> _VERSION_AT & 0xF == _TRAVELLING


def waits_as_suspect(owner: str | None) -> bool:
    """Tell whether the beginning of a claimed row is to be written down."""
    return owner is not None and owner.startswith(WAITING_SUSPECT)


def shown_owner(owner: str | None) -> str | None:
    """Return the name for people."""
    return (owner or "").lstrip(MARK + HEARD) or None


def _marked(mark: str, name: str) -> str:
    return (mark + name)[:OWNER_LENGTH]
