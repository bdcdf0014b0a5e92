"""Connections of clients, as uvicorn keeps them with h11: none waits for ever, and never more than the server bears."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.h11_impl import H11Protocol

from asyncflow.integrations.flowsvr.door.chunks import BodyFlow, Chunks
from asyncflow.integrations.flowsvr.settings import ServiceSettings

_LOG = logging.getLogger("asyncflow.flowsvr")
_TELL_SECONDS = 10.0
_LEAVE_SECONDS, _MOST_LEAVING = 1.0, 32  # so long some of those who are turned away may read why
SLOW_SECONDS = 1.0  # that an answer may wait whatever its size
_ANSWERS = 2  # times as many bytes as of bodies may wait in memory, where each answer is for a while twice
STEP = 4 * 1024  # bytes that are looked at before what is known of them is
MOST_HEAD_BYTES = 16 * 1024  # of a request without its body: each of its lines takes as long as a hundred bytes
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: text/plain\r\ncontent-length: 20\r\n\r\ntoo many connections"
)


class Crowd:
    """Know the connections of a server that may make room, the longest waiting first; one event loop uses it."""

    def __init__(self, settings: ServiceSettings, most: int) -> None:
        self.most = most
        self.header_seconds = settings.header_timeout_seconds
        self.idle_seconds = settings.idle_timeout_seconds
        self.answer_seconds = settings.body_timeout_seconds
        self.idle: dict[Connection, None] = {}
        self.leaving: set[Connection] = set()
        self.unsent: dict[Connection, float] = {}  # whose answers wait to be taken on, since when
        self._most_unsent = _ANSWERS * settings.bytes_in_flight
        self._closed = 0
        self._told_at = -_TELL_SECONDS
        self._is_called = False  # to look at them again
        self._cut = 0
        self._told_cut_at = -_TELL_SECONDS

    def make_room(self) -> bool:
        """Close the connection that may make room for the longest time; return whether there was one."""
        self._closed += 1
        now = time.monotonic()
        if now - self._told_at >= _TELL_SECONDS:
            text = "there are %d connections, as many as there may be; %d were closed to make room or not let in"
            _LOG.warning(text, self.most, self._closed)
            self._closed, self._told_at = 0, now
        longest = next(iter(self.idle), None)
        if longest is None:
            return False
        longest.leave()
        return True

    def bound_unsent(self) -> None:
        """Cut off who is too slow to take on what is kept for them: of the caller with the most, the first."""
        sizes = {one: one.transport.get_write_buffer_size() for one in self.unsent}
        of_callers, long_ago = Counter[str](), time.monotonic() - SLOW_SECONDS
        for one, size in sizes.items():
            of_callers[one.caller()] += size
        slow = [one for one, since in self.unsent.items() if since <= long_ago]
        while of_callers.total() > self._most_unsent and slow:
            slowest = max(slow, key=lambda one: of_callers[one.caller()])  # of those that are alike the first
            slow.remove(slowest)
            of_callers[slowest.caller()] -= sizes[slowest]
            del self.unsent[slowest]
            slowest.transport.abort()
            self._tell_of_cut(slowest.caller())
        if of_callers.total() > self._most_unsent and not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._is_called = False
        self.bound_unsent()

    def _tell_of_cut(self, caller: str) -> None:
        self._cut += 1
        now = time.monotonic()
        if now - self._told_cut_at >= _TELL_SECONDS:
            text = "answers of more than %d bytes wait to be taken on; %d connections were cut off, the last of %r"
            _LOG.warning(text, self._most_unsent, self._cut, caller or "a stranger")
            self._cut, self._told_cut_at = 0, now


class Connection(H11Protocol):
    """Speak HTTP with one client, who has so long to ask, and so long to take on an answer.

    One that is known is kept for its next request longer than clients and proxies keep theirs, so that none sends a
    request on a connection that is closed at this moment: it could not know whether its task was created.

    A client that asks for nothing makes room for another when there are too many, and so does a stranger who takes on
    no answer; one whose request is at work stays.
    Used by its server's event loop alone, as all protocols are.
    """

    def __init__(self, crowd: Crowd, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._crowd = crowd
        self._asks_until: asyncio.TimerHandle | None = None
        self._takes_until: asyncio.TimerHandle | None = None
        self._is_kept = False  # for another request, of which nothing has come
        self._next = b""  # what came of further requests while one is at work, or of a body of which none was wanted
        self._chunks: Chunks | None = None
        self._chunks_of: object = None  # the request that has them, if its body comes in chunks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the client ask, or turn it away."""
        super().connection_made(transport)
        self.flow: BodyFlow = BodyFlow(transport, self._has_more)
        if len(self.connections) > self._crowd.most and not self._crowd.make_room():
            self._turn_away()
            return
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Take what came; a request whose head is whole is at work from now on.

        Step by step, for a head that is whole is parsed however long it is; what comes behind a request waits for its
        answer, and chunks of a body until the application, which knows by then who asks, wants them.
        """
        data, self._next = self._next + data, b""
        for place in range(0, len(data), STEP):
            if self.transport.is_closing() or self in self._crowd.leaving:
                return
            if self._is_at_work() and self._waits():
                self._next = data[place:]
                self.flow.pause_reading()
                return
            self._take(data[place : place + STEP])
        if data and self._is_kept and not self._is_at_work():
            self._await_request()  # which has begun
        if self.cycle is None or len(self.cycle.body) <= HIGH_WATER_LIMIT:
            self.flow.read_on()

    def _waits(self) -> bool:
        """Tell whether what came is not to be looked at yet."""
        if self.conn.their_state is not h11.SEND_BODY:
            return True
        chunks = self._chunks_at_work()
        return chunks is not None and not chunks.is_wanted

    def _take(self, data: bytes) -> None:
        cycle, kept = self.cycle, 0 if self.cycle is None else len(self.cycle.body)
        super().data_received(data)
        if self._is_at_work():
            self._stop_waiting()
        chunks = self._chunks_at_work()
        if chunks is None or cycle is None or cycle is not self.cycle:
            return
        if cycle.message_event.is_set():
            chunks.be_given()
        if self.conn.their_state is h11.SEND_BODY and chunks.are_too_small(len(data), len(cycle.body) - kept):
            self.send_400_response("the body comes in very small chunks; send larger ones, or its Content-Length")

    def _chunks_at_work(self) -> Chunks | None:
        """Return what is known of the chunks of the last request's body; None if it comes as a whole."""
        if self._chunks_of is not self.cycle:
            self._chunks_of = self.cycle
            is_chunked = self.cycle is not None and any(name == b"transfer-encoding" for name, _ in self.headers)
            self._chunks = Chunks() if is_chunked else None
        return self._chunks

    def _has_more(self) -> bool:
        """Tell an application that wants more whether some has come, which is looked at soon then."""
        chunks = self._chunks_at_work()
        if chunks is None or self.conn.their_state is not h11.SEND_BODY:
            return False
        chunks.want()
        if self._next:
            self.loop.call_soon(self.data_received, b"")
        return bool(self._next)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless an answer has begun; then leave, and let who is at work know."""
        if self._is_at_work():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def on_response_complete(self) -> None:
        """Let the client ask again; one that has more chunks for a request that is over is heard no longer."""
        if self.conn.their_state is h11.SEND_BODY and self._chunks_at_work() is not None:
            self._next = b""
            super().on_response_complete()
            self._leave_soon()
            return
        super().on_response_complete()
        if self._next:
            self.data_received(b"")
        if not self._is_at_work():
            has_begun = self.conn.their_state is not h11.IDLE or bool(self.conn.trailing_data[0])
            self._await_request(is_kept=bool(self.caller()) and not has_begun)

    def pause_writing(self) -> None:
        """Let the client take on what is waiting, in time; a stranger, who asks and reads nothing, makes room."""
        super().pause_writing()
        if self._takes_until is None:
            self._takes_until = self.loop.call_later(self._crowd.answer_seconds, self.transport.abort)
        if self._is_at_work() and not self.caller():
            self._crowd.idle[self] = None
        self._crowd.unsent[self] = time.monotonic()
        self._crowd.bound_unsent()

    def resume_writing(self) -> None:
        """Go on with the answer."""
        super().resume_writing()
        self._stop_hurrying()
        if self._is_at_work():
            self._crowd.idle.pop(self, None)

    def caller(self) -> str:
        """Return whose token the last request came with; empty of a stranger's."""
        name: str = "" if self.cycle is None else self.cycle.scope.get("state", {}).get("caller", "")
        return name

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._crowd.leaving.discard(self)
        self._stop_waiting()
        self._stop_hurrying()
        super().connection_lost(exc)

    def _turn_away(self) -> None:
        """Tell the client to come again, and leave."""
        self.transport.write(_FULL)
        self._leave_soon()

    def _leave_soon(self) -> None:
        """Leave, looking at nothing more; at once the client might not read its answer, for what it sent is unread."""
        self._stop_waiting()
        self.connections.discard(self)
        if len(self._crowd.leaving) >= _MOST_LEAVING:
            self.transport.abort()
        if self.transport.is_closing():
            return
        self._crowd.leaving.add(self)
        self.transport.write_eof()
        self.loop.call_later(_LEAVE_SECONDS, self.transport.abort)

    def leave(self) -> None:
        """Close the connection at once, whatever is unsent."""
        self._stop_waiting()
        self.connections.discard(self)
        self.transport.abort()

    def _is_at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_request(self, *, is_kept: bool = False) -> None:
        self._stop_waiting()
        self._is_kept = is_kept
        if not self.transport.is_closing():
            self._crowd.idle[self] = None
            seconds = self._crowd.idle_seconds if is_kept else self._crowd.header_seconds
            self._asks_until = self.loop.call_later(seconds, self.leave)

    def _stop_waiting(self) -> None:
        self._is_kept = False
        self._crowd.idle.pop(self, None)
        if self._asks_until is not None:
            self._asks_until.cancel()
            self._asks_until = None

    def _stop_hurrying(self) -> None:
        self._crowd.unsent.pop(self, None)
        if self._takes_until is not None:
            self._takes_until.cancel()
            self._takes_until = None
