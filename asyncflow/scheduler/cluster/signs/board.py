"""The seam to where signs are kept: a few names with short texts, which may be lost at any time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

HeldItems = Mapping[int, int]  # items, with the epochs in which they are owned


class Sign(NamedTuple):
    """Hold an instance's sign of life: a ``text`` that no earlier one had, and what it holds.

    What is ``held`` others may take when no other sign follows for a session, although its leases run; in these epochs
    alone.
    """

    text: str
    held: HeldItems


class SignBoard(Protocol):
    """Keep the last sign of each instance in each job; one thread at a time asks.

    Each question ends within a part of the session. Raises RegistryAwayError where there is no answer, and
    RegistryRefusedError where the server does not let this instance in.
    """

    def exchange(self, instance: str, signs: Mapping[str, Sign]) -> dict[str, dict[str, str]]:
        """Put up a sign in each job; return the texts of all that are up there, by job and instance.

        Of a question without an answer the signs may be up all the same, or soon.
        """
        ...

    def held_by(self, job: str, signs: Mapping[str, str]) -> dict[str, HeldItems]:
        """Return what these signs, whose texts are given by instance, told; nothing of those that were replaced."""
        ...

    def take_down(self, job: str, instances: Collection[str]) -> None:
        """Take the signs of these down."""
        ...

    def close(self) -> None:
        """End the connection; the next question makes another one."""
        ...

    def leave_to_parent(self) -> None:
        """Let go, in the child of a fork, of the parent's connection, without ending it."""
        ...


def held_text(held: HeldItems) -> str:
    """Return the items and epochs as text."""
    return " ".join(f"{item}:{epoch}" for item, epoch in sorted(held.items()))


def held_of(text: str) -> HeldItems:
    """Return the items and epochs of a text; none of one that is not ours."""
    try:
        return {int(item): int(epoch) for item, _, epoch in (one.partition(":") for one in text.split())}
    except ValueError:
        return {}
