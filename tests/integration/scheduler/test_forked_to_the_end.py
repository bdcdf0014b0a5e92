"""A child that ends as Python ends, with its exit functions and its last collection, leaves the parent's alone."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import Engine

PROGRAM = """
import asyncio, os, sys, time
from sqlalchemy import MetaData, create_engine
from asyncflow import Call, Outbox, Scheduler
from asyncflow.events import StepFailed, LoopRestarted
from asyncflow.testing import MemoryPublisher, Signals
from tests.support.patience import be_patient

be_patient()
engine, outbox, publisher, signals = create_engine({url!r}), Outbox(MetaData()), MemoryPublisher(), Signals()
outbox.message("user.registered")
done = []

@outbox.task
async def awaited(n: int):
    await asyncio.sleep(0)
    done.append(n)

scheduler = Scheduler(engine, outbox, {{"kafka": publisher}}, hooks=[signals], lease_seconds=600)

def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)

def work(count):
    before = len(publisher.records), len(done)
    with engine.begin() as connection:
        for _ in range(count):
            outbox.publish(connection, "user.registered", {{}})
        outbox.enqueue_many(connection, awaited, [Call({{"n": n}}) for n in range(count)])
    until(lambda: (len(publisher.records), len(done)) == (before[0] + count, before[1] + count))

scheduler.start()
work(20)
epochs = dict(scheduler.ownership.epochs())
for way in range(4):
    pid = os.fork()
    if pid == 0:
        if way == 1:
            scheduler.stop()
        elif way == 2:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
        elif way == 3:
            del scheduler, engine
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, way
    work(20)
scheduler.ownership.refresh()
assert scheduler.ownership.epochs() == epochs
assert signals.of(StepFailed) + signals.of(LoopRestarted) == []
assert scheduler.stop()
print("well")
"""


@pytest.mark.usefixtures("application")
def test_the_end_of_a_child_says_nothing_on_the_connections_of_its_parent(engine: Engine) -> None:
    program = PROGRAM.format(url=engine.url.render_as_string(hide_password=False))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=280)
    assert (done.stdout, done.stderr, done.returncode) == ("well\n", "", 0)
