"""What a drain did, for the one who called it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Tell what a drain sent, did, failed, left and could not reach."""

    sent: int = 0  # messages that a broker acknowledged
    done: int = 0  # tasks that their handlers did
    retried: int = 0  # attempts that failed, and whose tasks wait for another one
    failed: int = 0  # tasks that are dead letters now
    cancelled: int = 0  # tasks that their handlers called off
    left: Mapping[str, int] = field(default_factory=dict)  # by task type: PENDING tasks, due later or of no use here
    unreachable: tuple[str, ...] = ()  # destinations
    errors: tuple[BaseException, ...] = ()  # of failed attempts, in their order
    databases: Mapping[str, Drained] = field(default_factory=dict)  # each of several by itself; empty for a single one

    def raise_first(self) -> None:
        """Raise the first error, if there is one."""
        for error in self.errors:
            raise error


def together(apart: Mapping[str, Drained]) -> Drained:
    """Return what drains of several databases did together, with each of them by itself."""
    left: Counter[str] = Counter()
    for one in apart.values():
        left.update(one.left)
    return Drained(
        sent=sum(one.sent for one in apart.values()),
        done=sum(one.done for one in apart.values()),
        retried=sum(one.retried for one in apart.values()),
        failed=sum(one.failed for one in apart.values()),
        cancelled=sum(one.cancelled for one in apart.values()),
        left=dict(left),
        unreachable=tuple(sorted({name for one in apart.values() for name in one.unreachable})),
        errors=tuple(error for one in apart.values() for error in one.errors),
        databases=dict(apart),
    )
