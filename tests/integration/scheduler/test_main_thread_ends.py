"""The main thread of an application may end while another one goes on; so does the scheduler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import Engine

from tests.support.application import Application

PROGRAM = """
import asyncio, threading, time
from sqlalchemy import MetaData, create_engine
from asyncflow import Outbox, Scheduler, SimpleJob
from asyncflow.events import LoopRestarted, StepFailed, JobFailed
from asyncflow.testing import MemoryPublisher, Signals

engine, outbox, publisher, signals = create_engine({url!r}), Outbox(MetaData()), MemoryPublisher(), Signals()
outbox.message("user.registered")
done = []

@outbox.task
def handled():
    done.append("handled")

@outbox.task
async def awaited():
    done.append(await asyncio.to_thread(lambda: "awaited"))

job = SimpleJob("job", lambda context: done.append("job"), cron="* * * * * *", sharding_total_count=3)
scheduler = Scheduler(engine, outbox, {{"kafka": publisher}}, jobs=[job], hooks=[signals], tick=0.2, lease_seconds=600)

def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, (done, len(publisher.records))
        time.sleep(0.01)

def go_on(main):
    main.join()
    done.clear()
    ticks = scheduler.counters().ticks
    with engine.begin() as connection:
        outbox.publish(connection, "user.registered", {{}})
        outbox.enqueue(connection, handled)
        outbox.enqueue(connection, awaited)
    until(lambda: len(publisher.records) == 1)
    until(lambda: {{"handled", "awaited"}} <= set(done) and done.count("job") >= 6)
    until(lambda: scheduler.counters().ticks >= ticks + 3)
    assert scheduler.metronome.is_alive()
    assert not signals.of(LoopRestarted) + signals.of(StepFailed) + signals.of(JobFailed)
    assert scheduler.stop()
    print("well", flush=True)

scheduler.start()
until(lambda: "job" in done)
threading.Thread(target=go_on, args=(threading.main_thread(),)).start()
"""


def test_a_scheduler_outlives_the_main_thread_and_says_nothing(sqlite_engine: Engine) -> None:
    Application(sqlite_engine)
    url = sqlite_engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", PROGRAM.format(url=url)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=Path.cwd())
    assert (done.stdout, done.stderr, done.returncode) == ("well\n", "", 0)


def test_a_job_that_hangs_does_not_keep_the_process_from_its_end(sqlite_engine: Engine) -> None:
    Application(sqlite_engine)
    url = sqlite_engine.url.render_as_string(hide_password=False)
    program = PROGRAM.format(url=url).split("def until")[0].replace('done.append("job")', "time.sleep(600)")
    program += "\nscheduler.start()\n(runner,) = scheduler.machinery.staff.roster.runners\n"
    program += "while not runner.board.is_at_work: time.sleep(0.01)\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
