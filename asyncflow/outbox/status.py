"""The life of a task, as its row tells it."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Name the states of a task row; the numbers are stored."""

    PENDING = 0  # waits to be fetched, for the first time or again
    PROCESSING = 1  # claimed by a worker until its claim runs out
    SUCCESS = 2  # the broker acknowledged it, or its handler returned
    FAILED = 3  # a dead letter: it was rejected or its retries are spent
    CANCELLED = 4  # taken back on purpose


UNSETTLED = (Status.PENDING, Status.PROCESSING)  # what is still to be done
