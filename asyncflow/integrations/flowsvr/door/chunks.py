"""Bodies that come in chunks: none is looked at before it is wanted, and none that is nothing but chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl

_FREE_BYTES, _BYTES_EACH = 64 * 1024, 8  # of framing in any body, and one more for so many of the body's own


class Chunks:
    """Know of a body in chunks whether more of it is wanted, and how much of what came was none of it.

    To find where a chunk ends takes as long as thousands of bytes, and a chunk may hold one. One event loop uses it.
    """

    def __init__(self) -> None:
        self.is_wanted = False
        self._framing = 0
        self._kept = 0

    def want(self) -> None:
        """Know that the application asks for more."""
        self.is_wanted = True

    def be_given(self) -> None:
        """Know that it has something to take."""
        self.is_wanted = False

    def are_too_small(self, came: int, kept: int) -> bool:
        """Take in that so many bytes came, of which so many are the body's; tell whether these are too few by now."""
        self._framing += came - kept
        self._kept += kept
        return self._framing > _FREE_BYTES + self._kept // _BYTES_EACH


class BodyFlow(FlowControl):
    """Let an application that asks for more have what has come, before more is read."""

    def __init__(self, transport: asyncio.Transport, has_more: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._has_more = has_more

    def resume_reading(self) -> None:
        """Hear the application ask for more."""
        if not self._has_more():
            self.read_on()

    def read_on(self) -> None:
        """Read what else comes."""
        super().resume_reading()
