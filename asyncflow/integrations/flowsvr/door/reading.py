"""Bodies, read whole before anything happens, within bounds of size, time and bytes in flight."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request

from asyncflow.integrations.flowsvr.door.problems import Problem
from asyncflow.integrations.flowsvr.settings import ServiceSettings

FREE_BYTES = 64 * 1024  # of each body, for which nobody waits: as much as a server keeps unread of each connection
MOST_VALUES = 250_000  # objects and lists in one body: each takes a hundred times its two bytes; and fields, each a µs
_CLOSE = {"Connection": "close"}
# Of bytes of which only these are left; a text that does not end goes to the end, so nothing is looked at twice.
_MARKS, _TEXT = b'"[{:', re.compile(rb'"[^"]*"?')
_OTHERS = bytes(set(range(256)) - set(_MARKS))


class BodyReader:
    """Read the bodies of one application's requests; one event loop uses it.

    A body that does not come in whole does nothing. A small one is free; of the bytes beyond ``FREE_BYTES`` no more
    are kept at once than ``max_bytes_in_flight``, and no more than half of those, or one body, for one caller.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._most = settings.max_body_bytes
        self._seconds = settings.body_timeout_seconds
        self._in_flight = settings.bytes_in_flight
        self._share = max(self._in_flight // 2, self._most)
        self._kept: Counter[str] = Counter()
        self._parsing = asyncio.Semaphore(1)

    @asynccontextmanager
    async def read(self, request: Request, caller: str) -> AsyncIterator[Request]:
        """Give the request with its whole body, which counts until the end; raises Problem 400, 408, 413 or 503."""
        kept = _KeptBytes(self, caller)
        try:
            yield _WholeBody(request, await self._read(request, kept), self._parsing)
        finally:
            kept.release()

    async def _read(self, request: Request, kept: _KeptBytes) -> bytes:
        declared = request.headers.get("content-length", "")
        if declared.isdigit():
            self._require_room(int(declared))
            kept.keep(int(declared))
        body = bytearray()
        try:
            with anyio.fail_after(self._seconds):
                await self._gather(request, body, kept)
        except TimeoutError:
            raise Problem(408, f"the body did not come within {self._seconds:g} seconds", _CLOSE) from None
        if declared.isdigit() and len(body) != int(declared):
            _cut_off()
        require_few_values(body)
        return bytes(body)

    async def _gather(self, request: Request, body: bytearray, kept: _KeptBytes) -> None:
        is_whole = False
        while not is_whole:
            message = await request.receive()
            if message["type"] != "http.request":
                _cut_off()
            body += message.get("body", b"")
            self._require_room(len(body))
            kept.keep(len(body))
            is_whole = not message.get("more_body", False)

    def _require_room(self, size: int) -> None:
        if size > self._most:
            raise Problem(413, f"the body is larger than {self._most} bytes; send less at once", _CLOSE)

    def take(self, caller: str, count: int) -> None:
        """Count bytes as kept for a caller; raises Problem 503 if there is no room for them."""
        if self._kept.total() + count > self._in_flight or self._kept[caller] + count > self._share:
            raise Problem(
                503,
                "too many large bodies are at work; try again, or send less at once",
                {"Retry-After": "1", **_CLOSE},
            )
        self._kept[caller] += count

    def give_back(self, caller: str, count: int) -> None:
        """Count bytes as kept no longer."""
        self._kept[caller] -= count
        if not self._kept[caller]:
            del self._kept[caller]


class _KeptBytes:
    """Count the bytes of one body; used where its reader is."""

    def __init__(self, reader: BodyReader, caller: str) -> None:
        self._reader = reader
        self._caller = caller
        self._count = 0

    def keep(self, size: int) -> None:
        """Let the body be of this size at least."""
        more = max(0, size - FREE_BYTES) - self._count
        if more > 0:
            self._reader.take(self._caller, more)
            self._count += more

    def release(self) -> None:
        """Let the body be gone."""
        if self._count:
            self._reader.give_back(self._caller, self._count)


class _WholeBody(Request):
    """Be a request whose body is there; a large one is parsed alone, and others have their turn before the next."""

    def __init__(self, request: Request, body: bytes, parsing: asyncio.Semaphore) -> None:
        super().__init__(request.scope, _replaying(body, request.receive))
        self._parsing = parsing

    async def json(self) -> Any:
        """Return the body as JSON; raises ValueError for what is none."""
        body = await self.body()
        if len(body) <= FREE_BYTES:
            return _parsed(body)
        async with self._parsing:
            parsed = _parsed(body)
            await asyncio.sleep(0)
            return parsed


def _parsed(body: bytes) -> Any:
    # Told that it is UTF-8, as JSON is: else json would guess, and read what nobody has counted.
    try:
        text = body.decode("utf-8-sig")
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except json.JSONDecodeError:
        raise  # whose place is told
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"the body is no UTF-8 at byte {error.start}; send JSON in UTF-8") from None
    except RecursionError:
        raise HTTPException(422, "the body is nested too deeply; send fewer levels of objects and lists") from None
    except ValueError:  # Python reads no whole number of more than some thousand digits
        raise HTTPException(422, "the body holds a number of too many digits; send it as a text") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object; one that names a field twice means one thing to us and another to somebody else."""
    found = dict(pairs)
    if len(found) != len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise HTTPException(422, f"the body has {twice!r:.60} twice in one object; give it once")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise HTTPException(422, f"the body holds {name}, which is no JSON; send a text, or leave the field out")


def _replaying(
    body: bytes, receive: Callable[[], Awaitable[MutableMapping[str, Any]]]
) -> Callable[[], Awaitable[MutableMapping[str, Any]]]:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    return receive_again


def require_few_values(body: bytes | bytearray) -> None:
    """Refuse what would take a hundred times its bytes once it is parsed, while it is bytes; raises Problem 413."""
    if _most_of_a_kind(body) > MOST_VALUES and _most_of_a_kind(_without_texts(body)) > MOST_VALUES:
        raise Problem(413, f"the body holds more than {MOST_VALUES} objects and lists, or fields; send fewer at once")


def _without_texts(body: bytes | bytearray) -> bytes:
    """Return the marks of JSON that stand in no text, in time that grows with the body alone, whatever it holds."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = unescaped.translate(None, _OTHERS)
    return _TEXT.sub(b"", marks.replace(b'""', b""))  # two in a row change nothing, be they a text or between two


def _most_of_a_kind(text: bytes | bytearray) -> int:
    return max(text.count(b"{") + text.count(b"["), text.count(b":"))


def _cut_off() -> NoReturn:
    raise Problem(400, "the request ended before its body was whole; nothing was done", _CLOSE)
