"""The loop of a NATS client: it looks names up whichever thread of the process has ended."""

from __future__ import annotations

import pytest

from tests.support.main_thread import run_program

PROGRAM = """
import asyncio, time
from asyncflow.integrations.nats.client_loop import NatsLoop

def look_up():
    loop = NatsLoop()
    assert loop.run(loop.getaddrinfo("localhost", 4222), time.monotonic() + 60)
    loop.end(1.0)

async def within():
    look_up()

def look_up_within_another_loop():
    asyncio.run(within())
"""


@pytest.mark.parametrize("call", ["look_up", "look_up_within_another_loop"])
def test_a_name_is_looked_up_when_the_main_thread_has_ended(call: str) -> None:
    assert run_program(PROGRAM, afterwards=call) == ("well\n", "", 0)
