"""A walk through the frames of another thread crashes nothing, however that thread goes on meanwhile."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: a walk through frames that change ends it with a segmentation fault, or never.
PROGRAM = """
import gc, os, threading, time
from asyncflow.outbox.lines import driver_sockets

class Garbage:
    def __init__(self): self.me = self
    def __del__(self): time.sleep(0)  # lets the other thread go on

def deep(calls, cursor):
    return deep(calls - 1, cursor) if calls else time.sleep(0.001)  # longer than a finalizer: no garbage heaps up

def go_on():
    while True:
        deep(10, Garbage())

thread = threading.Thread(target=go_on, daemon=True)
thread.start()
gc.set_threshold(20, 2, 2)
until = time.monotonic() + 2
while time.monotonic() < until:
    driver_sockets.cut_lines_of(thread)
assert gc.isenabled()
print("walked", flush=True)
os._exit(0)  # there may be garbage left
"""


def test_a_thread_that_goes_on_while_its_frames_are_looked_at_crashes_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout) == (0, "walked\n"), done.stderr[-2000:]
