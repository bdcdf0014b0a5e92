"""Connections of browsers to a dashboard that stands alone: none waits for ever, and no more than there are files."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS, MOST_WAITING = 500, 32  # at once; to be accepted
_OWN_FILES = 80  # beside connections of browsers: those of the database, logs, libraries
_PASSING = 4 * MOST_WAITING  # accepted in three turns of the loop, before one is looked at; and closed in the next
_ASK_SECONDS = 30.0  # that a browser may take to send a whole form
_TAKE_SECONDS = 30.0  # that it may take to take on what waits for it


class Browsers:
    """Know the connections that may make room for another, the longest waiting first; one event loop uses it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.waiting: dict[BrowserConnection, None] = {}

    def make_room(self) -> bool:
        """Close the connection that has waited for the longest time; return whether there was one."""
        longest = next(iter(self.waiting), None)
        if longest is not None:
            longest.leave()
        return longest is not None


class BrowserConnection(H11Protocol):
    """Speak HTTP with one browser, as uvicorn does, for as long as it asks and takes on answers.

    One that has not sent the whole of what it asks for, or does not take on its answer, makes room for others.
    Used by its server's event loop alone, as all protocols are.
    """

    def __init__(self, browsers: Browsers, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._browsers = browsers
        self._until: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the browser ask, or turn it away."""
        super().connection_made(transport)
        if len(self.connections) > self._browsers.most and not self._browsers.make_room():
            self.leave()
            return
        self._wait(_ASK_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Take what came; a request that is there as a whole is at work from now on."""
        super().data_received(data)
        self._go_on()

    def on_response_complete(self) -> None:
        """Let the browser ask again."""
        super().on_response_complete()
        if not self._is_at_work():
            self._wait(_ASK_SECONDS)

    def pause_writing(self) -> None:
        """Let the browser take on what is waiting, in time."""
        super().pause_writing()
        self._wait(_TAKE_SECONDS)

    def resume_writing(self) -> None:
        """Go on with the answer."""
        super().resume_writing()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the browser."""
        self._stop_waiting()
        super().connection_lost(exc)

    def leave(self) -> None:
        """Close the connection at once."""
        self._stop_waiting()
        self.connections.discard(self)
        self.transport.abort()

    def _is_at_work(self) -> bool:
        is_asked = self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        return is_asked and self.cycle is not None and not self.cycle.response_complete

    def _go_on(self) -> None:
        if self._is_at_work() and not self.flow.write_paused:
            self._stop_waiting()

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            self._browsers.waiting[self] = None
            self._until = self.loop.call_later(seconds, self.leave)

    def _stop_waiting(self) -> None:
        self._browsers.waiting.pop(self, None)
        if self._until is not None:
            self._until.cancel()
            self._until = None


def connections_within(files: int) -> int:
    """Return how many connections there may be where so many files may be open; -1: any number."""
    return MOST_CONNECTIONS if files < 0 else max(1, min(MOST_CONNECTIONS, files - _PASSING - _OWN_FILES))
