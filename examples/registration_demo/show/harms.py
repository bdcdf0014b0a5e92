"""The two harms that are done to the services while users register."""

from __future__ import annotations

import asyncio
import math
import random
from time import monotonic

from examples.registration_demo.show.crowd import Crowd
from examples.registration_demo.show.outage import stopped
from examples.registration_demo.show.stage import Stage
from examples.registration_demo.show.view import State, Tone

KILL_AT, AIM_UNTIL, STOP_BROKER_AT = 0.2, 0.4, 0.55  # shares of the users who have registered
DEAD_SECONDS = 1.5
OUTAGE_SECONDS = 4.0
GUARD_SECONDS = 8.0  # after which the broker goes on even if the demo is killed itself
SETTLING_SECONDS = 0.05
AIM_SECONDS = 0.1
SHORTEST_RUN_SECONDS, LONGEST_RUN_SECONDS = 0.0005, 0.025  # a round of the scheduler takes from 2 to 20 ms
LOOK_EVERY_SECONDS = 0.02


async def harm(stage: Stage, crowd: Crowd) -> None:
    """Do the one, and then the other."""
    await _arrival(crowd, KILL_AT)
    await kill_scheduler(stage, crowd)
    await _arrival(crowd, STOP_BROKER_AT)
    await take_broker_away(stage)


async def kill_scheduler(stage: Stage, crowd: Crowd) -> None:
    """Kill the scheduler at the worst moment, and start it again a little later."""
    scheduler = stage.processes["scheduler"]
    sent, pending = await _freeze_at_the_worst_moment(stage, crowd)
    scheduler.kill()
    text = f"scheduler killed (SIGKILL): {pending:,} rows pending, {sent:,} already sent"
    stage.screen.tell(Tone.BAD, text, scheduler=State.KILLED)
    await asyncio.sleep(DEAD_SECONDS)
    await stage.start_scheduler()
    stage.screen.tell(Tone.GOOD, "scheduler started again", scheduler=State.UP)


async def take_broker_away(stage: Stage) -> None:
    """Stop the broker's process for some seconds, if it is ours."""
    pid = stage.broker.pid
    if pid is None:
        stage.screen.tell(Tone.PLAIN, f"the broker was NOT taken away: {stage.broker.why_not}")
        return
    with stopped(pid, GUARD_SECONDS):
        stage.screen.tell(Tone.BAD, "broker stopped (SIGSTOP)", broker=State.STOPPED)
        await asyncio.sleep(OUTAGE_SECONDS)
    stage.screen.tell(Tone.GOOD, f"broker back after {OUTAGE_SECONDS:.0f} s", broker=State.UP)


async def _arrival(crowd: Crowd, share: float) -> None:
    while crowd.registered < share * crowd.users:
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def _freeze_at_the_worst_moment(stage: Stage, crowd: Crowd) -> tuple[int, int]:
    """Freeze the scheduler between publish and settle; return how many messages are out, and how many rows pending.

    Freezes it again and again until the moment is right, and, when enough users are in, is content with pending rows.
    """
    scheduler = stage.processes["scheduler"]
    while True:
        scheduler.freeze()
        sent, pending = await _sent_but_unsettled(stage)
        is_late = crowd.registered >= AIM_UNTIL * crowd.users
        if sent or (is_late and pending) or crowd.registered == crowd.users:
            return sent, pending
        scheduler.thaw()
        await asyncio.sleep(_run_seconds())


def _run_seconds() -> float:
    """Return how long to let it run: any order of magnitude is as likely."""
    return math.exp(random.uniform(math.log(SHORTEST_RUN_SECONDS), math.log(LONGEST_RUN_SECONDS)))


async def _sent_but_unsettled(stage: Stage) -> tuple[int, int]:
    """Return how many messages have arrived though their rows are pending, and how many rows are pending.

    The scheduler is frozen: what it has sent arrives within moments, and what it has committed is there.
    """
    await asyncio.sleep(SETTLING_SECONDS)
    end = monotonic() + AIM_SECONDS
    while True:
        tally = await asyncio.to_thread(stage.books.tally)
        sent = max(0, tally.coupons - tally.settled, tally.grants - tally.settled)
        if sent or monotonic() > end:
            return sent, tally.pending
        await asyncio.sleep(LOOK_EVERY_SECONDS)
