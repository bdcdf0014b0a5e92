"""What a user's own tests need: tasks looked at, performed and drained in the test's transaction, and signals."""

from asyncflow.scheduler.drained import Drained
from asyncflow.testing.clock import advance
from asyncflow.testing.contexts import task_context
from asyncflow.testing.draining import drain
from asyncflow.testing.enqueued import EnqueuedTask, assert_enqueued, enqueued
from asyncflow.testing.memory_publisher import MemoryPublisher
from asyncflow.testing.performing import perform
from asyncflow.testing.rolled_back import rolled_back, rolled_back_async
from asyncflow.testing.signals import Signals

__all__ = [
    "Drained",
    "EnqueuedTask",
    "MemoryPublisher",
    "Signals",
    "advance",
    "assert_enqueued",
    "drain",
    "enqueued",
    "perform",
    "rolled_back",
    "rolled_back_async",
    "task_context",
]
