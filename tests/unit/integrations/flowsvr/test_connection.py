"""Connections of clients: which of them make room for others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import uvicorn
from uvicorn.server import ServerState

from asyncflow.integrations.flowsvr import ServiceSettings
from asyncflow.integrations.flowsvr.door import connection
from asyncflow.integrations.flowsvr.door.connection import MOST_HEAD_BYTES, Connection, Crowd

ASK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Transport(asyncio.Transport):
    """Be a client that never reads, or is gone."""

    is_aborted = is_ended = False
    written = b""
    unsent = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_aborted = True

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.is_ended = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Server:
    """Have connections whose requests stay at work, each of the caller that it names, if any."""

    def __init__(self, most: int) -> None:
        self.asked: list[str] = []
        self.parts: list[bytes] = []
        self.bodies: list[bytes] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            self.asked.append(scope["path"])
            if caller := dict(scope["headers"]).get(b"caller"):
                scope["state"]["caller"] = caller.decode()
            if scope["path"] == "/":
                await asyncio.Event().wait()
            if scope["path"] == "/read" and not await self._has_read(receive):
                return
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})

        self.crowd = Crowd(ServiceSettings(), most)
        most_bytes = MOST_HEAD_BYTES
        self._config = uvicorn.Config(app, http="h11", log_config=None, h11_max_incomplete_event_size=most_bytes)
        self._config.load()
        self._state = ServerState()

    async def _has_read(self, receive: Any) -> bool:
        """Read a body to its end; tell whether it came."""
        parts: list[bytes] = []
        while (message := await receive())["type"] == "http.request":
            parts.append(message["body"])
            if not message["more_body"]:
                self.parts += parts
                self.bodies.append(b"".join(parts))
                return True
        return False

    def connect(self, loop: Any = None) -> Connection:
        loop = loop or asyncio.get_running_loop()
        made = Connection(self.crowd, config=self._config, server_state=self._state, app_state={}, _loop=loop)
        made.connection_made(Transport())
        return made

    async def ask(self, caller: str = "") -> Connection:
        made = self.connect()
        made.data_received(
            ASK.replace(b"\r\n\r\n", f"\r\ncaller: {caller}\r\n\r\n".encode() if caller else b"\r\n\r\n")
        )
        await asyncio.sleep(0)  # its application has begun
        return made

    def end(self) -> None:
        for task in self._state.tasks:
            task.cancel()


@pytest.fixture
async def serve() -> Any:
    made: list[Server] = []

    def make(most: int) -> Server:
        made.append(Server(most))
        return made[-1]

    yield make
    for server in made:
        server.end()


async def test_a_stranger_who_takes_on_no_answer_makes_room_and_no_caller_does(serve: Callable[[int], Server]) -> None:
    server = serve(3)
    stranger, reader, caller = await server.ask(), await server.ask(), await server.ask("shop")
    stranger.pause_writing()
    caller.pause_writing()
    assert not server.connect().transport.is_closing()
    closed = [one for one in (stranger, reader, caller) if one.transport.is_closing()]
    assert closed == [stranger]


async def test_a_stranger_who_goes_on_reading_is_at_work_again(serve: Callable[[int], Server]) -> None:
    server = serve(1)
    stranger = await server.ask()
    stranger.pause_writing()
    stranger.resume_writing()
    newcomer = server.connect()
    assert newcomer in server.crowd.leaving
    assert not stranger.transport.is_closing()


async def all_answered(server: Server, count: int) -> None:
    while len(server.asked) < count:
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("before", [b"", b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["alone", "behind another"])
@pytest.mark.parametrize("lines", [b"a:\r\n", b"\ta\r\n"], ids=["of many lines", "of one that is folded"])
async def test_a_long_head_is_refused_though_it_comes_whole(
    serve: Callable[[int], Server], before: bytes, lines: bytes
) -> None:
    server = serve(3)
    made = server.connect()
    made.data_received(before + b"GET /b HTTP/1.1\r\nHost: a\r\n" + lines * 60_000 + b"\r\n")
    if before:
        await all_answered(server, 1)
    assert server.asked == ["/a"] * bool(before)
    transport: Any = made.transport
    assert b" 400 " in transport.written
    assert transport.is_closing()


async def test_requests_that_come_at_once_are_answered_one_after_the_other(serve: Callable[[int], Server]) -> None:
    server = serve(3)
    made = server.connect()
    asks = [f"POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n{'x' * 9000}" for number in range(30)]
    made.data_received("".join(asks).encode())
    await all_answered(server, 30)
    assert server.asked == [f"/{number}" for number in range(30)]
    transport: Any = made.transport
    assert transport.written.count(b" 204 ") == 30
    assert made in server.crowd.idle


MOST = 2 * ServiceSettings().bytes_in_flight


async def slow(server: Server, caller: str, size: int) -> Connection:
    """Connect a caller that takes on nothing of an answer of so many bytes."""
    made = await server.ask(caller)
    transport: Any = made.transport
    transport.unsent = size
    made.pause_writing()
    return made


def cut(*those: Connection) -> list[bool]:
    """Tell which of them were cut off."""
    return [one.transport.is_closing() for one in those]


async def test_of_answers_that_nobody_takes_on_those_of_the_caller_with_the_most_are_cut_off(
    serve: Callable[[int], Server], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SLOW_SECONDS", 0.0)
    server, part = serve(30), MOST // 3
    shop, first, second = [await slow(server, *one) for one in (("shop", MOST // 4), ("mail", part), ("mail", part))]
    assert cut(shop, first, second) == [False, False, False]
    third = await slow(server, "mail", part)
    assert cut(shop, first, second, third) == [False, True, False, False]
    assert "the last of 'mail'" in caplog.text
    second.resume_writing()
    assert cut(shop, second, await slow(server, "shop", MOST // 4), third) == [False] * 4
    stranger = await slow(server, "", MOST)
    assert cut(stranger, shop, second, third) == [True, False, False, False]


async def test_nobody_is_cut_off_before_it_had_the_time_to_read(serve: Callable[[int], Server]) -> None:
    server = serve(30)
    readers = [await slow(server, "mail", MOST // 3) for _ in range(4)]
    assert cut(*readers) == [False] * 4
    with anyio.fail_after(60):
        while not any(cut(*readers)):
            await asyncio.sleep(0.05)
    assert sum(cut(*readers)) == 1


POST = b"POST /%s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
TINY = b"1\r\nx\r\n"


async def rounds(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_no_chunk_is_looked_at_before_the_application_wants_it(serve: Callable[[int], Server]) -> None:
    made = serve(3).connect()
    made.data_received(POST % b"" + TINY * 40_000)
    await rounds()
    looked_at = len(made.cycle.body)
    assert looked_at < connection.STEP
    made.data_received(TINY * 40_000)
    await rounds()
    assert len(made.cycle.body) == looked_at
    transport: Any = made.transport
    assert not transport.is_closing()


async def test_of_chunks_that_are_wanted_few_are_looked_at_before_others_have_their_turn(
    serve: Callable[[int], Server],
) -> None:
    server = serve(3)
    made = server.connect()
    made.data_received(POST % b"read" + b"8\r\n12345678\r\n" * 5_000)
    made.data_received(b"0\r\n\r\n")
    with anyio.fail_after(60):
        while not server.bodies:
            await asyncio.sleep(0)
    await rounds()
    assert server.bodies == [b"12345678" * 5_000]
    assert len(server.parts) > 5_000 * 13 // connection.STEP
    assert made in server.crowd.idle


async def test_a_body_that_is_hardly_more_than_chunks_is_refused_and_nothing_done(
    serve: Callable[[int], Server],
) -> None:
    server = serve(3)
    made = server.connect()
    made.data_received(POST % b"read" + TINY * 40_000)
    await rounds(200)
    transport: Any = made.transport
    assert b" 400 " in transport.written
    assert b"send larger ones" in transport.written
    assert transport.is_closing()
    assert server.bodies == []


async def test_chunks_behind_an_answer_are_not_looked_at(serve: Callable[[int], Server]) -> None:
    server = serve(3)
    made = server.connect()
    made.data_received(POST % b"a" + TINY)
    await all_answered(server, 1)
    transport: Any = made.transport
    assert b" 204 " in transport.written
    assert transport.is_ended
    made.data_received(b"what is no chunk" * 1000)
    assert transport.written.count(b"HTTP/1.1") == 1
    assert made not in server.crowd.idle


class Timers:
    """Be the event loop, and know for how long the last timer is set."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_later(self, seconds: float, *work: Any) -> asyncio.TimerHandle:
        self.seconds = seconds
        return self._loop.call_later(seconds, *work)


@pytest.mark.parametrize(("caller", "kept_seconds"), [("caller: a\r\n", 75.0), ("", 10.0)], ids=["known", "a stranger"])
async def test_who_is_known_is_kept_longer_than_clients_keep_connections_and_has_no_longer_to_ask(
    serve: Callable[[int], Server], caller: str, kept_seconds: float
) -> None:
    timers, ask = Timers(), f"GET /done HTTP/1.1\r\nHost: a\r\n{caller}\r\n".encode()
    made = serve(10).connect(timers)
    assert timers.seconds == 10.0
    made.data_received(ask)
    await answered(made)
    assert timers.seconds == kept_seconds
    made.data_received(ask[:9])
    assert timers.seconds == 10.0
    made.data_received(ask[9:] + ask[:9])  # and the begin of another one behind it
    await answered(made)
    assert timers.seconds == 10.0


async def answered(made: Connection) -> None:
    """Wait for the end of the answer."""
    with anyio.fail_after(60):
        while not made.cycle.response_complete:
            await asyncio.sleep(0)
