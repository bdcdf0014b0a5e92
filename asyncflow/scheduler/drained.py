"""What a drain did, for the one who called it."""

from __future__ import annotations

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

    def raise_first(self) -> None:
        """Raise the first error, if there is one."""
        for error in self.errors:
            raise error
