"""Clients that wait for something: nobody waits for one that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from fastapi import Request


async def waits(request: Request, waiting: Coroutine[Any, Any, None]) -> bool:
    """Wait for as long as the client is there, whose body was read; return whether it still is."""
    gone, waited = asyncio.ensure_future(_until_gone(request)), asyncio.ensure_future(waiting)
    try:
        await asyncio.wait({gone, waited}, return_when=asyncio.FIRST_COMPLETED)
        if waited.done():
            waited.result()
        return not gone.done()
    finally:
        gone.cancel()
        waited.cancel()
        await asyncio.gather(gone, waited, return_exceptions=True)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
