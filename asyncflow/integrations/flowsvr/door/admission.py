"""Admission: however many requests come at once, the event loop looks at other things between a few of them."""

from __future__ import annotations

import asyncio
from collections import deque

_AT_ONCE = 16  # requests begun before the loop looks around: some twenty milliseconds


class Admission:
    """Let few requests begin in each round of the event loop, the others in their order; one loop uses it."""

    def __init__(self) -> None:
        self._begun = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Return when it is the caller's turn: at once, unless many others have come in the same moment."""
        loop = asyncio.get_running_loop()
        if self._begun == 0:
            loop.call_soon(self._next_round)
        if self._begun >= _AT_ONCE or self._waiting:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
        else:
            self._begun += 1

    def _next_round(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < _AT_ONCE:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next_round)
