"""A session whose client one thread uses, and another may end."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

from asyncflow.errors import UnreachableError
from asyncflow.scheduler.publishing.publisher import Record, Unavailable
from asyncflow.scheduler.publishing.sessions.suspects import Judgement


class ClientSession(ABC):
    """Be a Session of one client. Its publisher's thread sends; another thread may ``end`` it, and waits for its turn.

    A subclass reads ``_is_ending`` to leave what it is at.
    """

    def __init__(self) -> None:
        self.is_spent = False
        self._busy = threading.Lock()
        self._is_ending = False
        self._has_ended = False

    def attempt(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        """Send the records; return what became of each, by about ``deadline`` (monotonic seconds)."""
        with self._busy:
            try:
                if not self._is_ending:
                    self._refresh(deadline)
                if self._is_ending:
                    raise UnreachableError("the publisher is closed")
            except UnreachableError as error:
                self.is_spent = True
                return [Unavailable(str(error))] * len(batch)
            return self._deliver(batch, deadline)

    def end(self, patience_seconds: float) -> bool:
        """Drop what is unsent and end the client; return whether nothing of it is left. May be called again."""
        self._is_ending = True
        if not self._busy.acquire(blocking=False):
            self._interrupt()
            if not self._busy.acquire(timeout=patience_seconds):
                return False
        try:
            if not self._has_ended:
                self._has_ended = True
                self._end_client(patience_seconds)
            return True
        finally:
            self._busy.release()

    def _refresh(self, deadline: float) -> None:  # noqa: B027 - nothing, where a lost connection spends the session
        """Connect anew where that is needed before anything is sent; raises UnreachableError."""

    @abstractmethod
    def _deliver(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        """Send the records, on the publisher's thread."""

    @abstractmethod
    def _interrupt(self) -> None:
        """Let ``_deliver`` return soon; called on another thread."""

    @abstractmethod
    def _end_client(self, patience_seconds: float) -> None:
        """Give back what the client holds, once, while nobody uses it."""
