"""The users who register, over HTTP."""

from __future__ import annotations

import asyncio
from time import monotonic

import httpx

from examples.registration_demo.show.errors import ShowError

AT_ONCE = 16
CREATED, CONFLICT = 201, 409
DOUBLE_CLICK_EVERY = 20  # this user's request comes twice; the second one is refused and rolls back
ANSWER_SECONDS = 60.0


class Crowd:
    """Arrive evenly over ``seconds``, or as fast as the service allows; ``AT_ONCE`` requests at a time."""

    def __init__(self, address: str, users: int, seconds: float) -> None:
        self.users = users
        self.registered = 0
        self.refused = 0
        self._address = address
        self._spacing_seconds = seconds / users
        self._numbers = iter(range(1, users + 1))

    async def arrive(self) -> None:
        """Register every user once; raises ShowError if the service answers anything but what it should."""
        begin = monotonic()
        try:
            async with httpx.AsyncClient(base_url=self._address, timeout=ANSWER_SECONDS) as client:
                await asyncio.gather(*(self._visit(client, begin) for _ in range(AT_ONCE)))
        except httpx.HTTPError as error:
            raise ShowError(f"accounts does not answer: {type(error).__name__} {error}") from error

    async def _visit(self, client: httpx.AsyncClient, begin: float) -> None:
        for number in self._numbers:
            await asyncio.sleep(begin + (number - 1) * self._spacing_seconds - monotonic())
            await self._post(client, number, CREATED)
            self.registered += 1
            if number % DOUBLE_CLICK_EVERY == 0:
                await self._post(client, number, CONFLICT)
                self.refused += 1

    async def _post(self, client: httpx.AsyncClient, number: int, expected: int) -> None:
        user = {"account_no": f"A{number:06}", "name": f"User {number}"}
        answer = await client.post("/users", json=user)
        if answer.status_code != expected:
            raise ShowError(f"POST /users answered {answer.status_code} for {user}: {answer.text:.200}")
