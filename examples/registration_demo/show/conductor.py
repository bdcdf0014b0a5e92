"""The conductor: opens the stage, lets the users in, does the two harms, waits for calm and reads the tables."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import monotonic
from typing import Any

from examples.registration_demo.show.crowd import Crowd
from examples.registration_demo.show.errors import ShowError
from examples.registration_demo.show.harms import harm
from examples.registration_demo.show.reconciliation import Reconciliation
from examples.registration_demo.show.stage import CONSUMERS, SERVICES, Stage
from examples.registration_demo.show.view import State, Tone

ARRIVAL_SECONDS = 12.0
LOOK_EVERY_SECONDS = 0.1
CALM_SECONDS = 60.0
SHOW_SECONDS = 120.0
USERS_PER_SECOND = 100  # the slowest pace that is taken for progress


async def conduct(stage: Stage, users: int) -> Reconciliation:
    """Run the show within its deadline; raises ShowError if it cannot reach its end."""
    deadline_seconds = SHOW_SECONDS + users / USERS_PER_SECOND
    address = await stage.open()
    crowd = Crowd(address, users, ARRIVAL_SECONDS)
    try:
        return await asyncio.wait_for(_watched(stage, _play(stage, crowd)), deadline_seconds)
    except asyncio.TimeoutError:
        raise ShowError(f"not at its end within {deadline_seconds:.0f} s: {stage.screen.view.tally}") from None


async def _play(stage: Stage, crowd: Crowd) -> Reconciliation:
    await asyncio.gather(_register(stage, crowd), harm(stage, crowd))
    messages = await _calm(stage, crowd)
    await asyncio.to_thread(stage.processes.end, *SERVICES)
    ended = dict.fromkeys(SERVICES, State.ENDED)
    stage.screen.tell(Tone.PLAIN, "every service has ended; the tables are read", **ended)
    return await asyncio.to_thread(
        stage.books.reconcile, expected=crowd.registered, refused=crowd.refused, messages=messages
    )


async def _register(stage: Stage, crowd: Crowd) -> None:
    await crowd.arrive()
    stage.screen.tell(Tone.GOOD, f"{crowd.registered:,} users have registered")


async def _calm(stage: Stage, crowd: Crowd) -> int:
    """Wait until no row is pending and both services took every message; return how many the topic holds.

    Gives up after a while: the tables tell what is missing.
    """
    end = monotonic() + CALM_SECONDS + crowd.users / USERS_PER_SECOND
    while monotonic() < end:
        tally = await asyncio.to_thread(stage.books.tally)
        messages = await asyncio.to_thread(stage.broker.messages)
        if messages is not None and tally.pending == tally.owed == 0 and tally.deliveries >= len(CONSUMERS) * messages:
            stage.screen.tell(Tone.GOOD, "every message was sent, and read by both services; every voucher is issued")
            return messages
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    stage.screen.tell(Tone.BAD, "something is still missing")
    if messages is None:
        raise ShowError(f"the broker at {stage.broker.address} does not tell what the topic holds")
    return messages


async def _watched(stage: Stage, acts: Coroutine[Any, Any, Reconciliation]) -> Reconciliation:
    """Play the acts while the screen follows them; raises ShowError when a process dies of itself."""
    playing, watching = asyncio.ensure_future(acts), asyncio.ensure_future(_watch(stage))
    try:
        await asyncio.wait({playing, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            watching.result()  # raises what the watch has found
        return await playing
    finally:
        playing.cancel()
        watching.cancel()
        await asyncio.gather(playing, watching, return_exceptions=True)


async def _watch(stage: Stage) -> None:
    while True:
        stage.processes.require_all()
        stage.screen.view.tally = await asyncio.to_thread(stage.books.tally)
        stage.screen.refresh()
        await asyncio.sleep(LOOK_EVERY_SECONDS)
