"""Trace the walk of a message: which files of the package it passes from ``publish`` to SUCCESS, in how many moves.

PYTHON -m tools.walk [--moves]

A move is a call from a function of one file of the package to one of another, whatever lies between them. The message
goes through an SQLite database to a publisher that keeps it, by one step of its relay, on one thread.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NamedTuple

from sqlalchemy import Engine, MetaData, create_engine, select
from sqlalchemy.orm import Session

import asyncflow
from asyncflow import Outbox, Scheduler, Status
from asyncflow.testing import MemoryPublisher

PACKAGE = Path(asyncflow.__file__).parent


class Walk(NamedTuple):
    """Hold the files in the order in which they are entered first, and how often one is entered from another."""

    files: list[str]
    moves: Counter[tuple[str, str]]


def walk() -> Walk:
    """Let one message go its way; return the files it passed. Raises RuntimeError if it did not arrive."""
    with TemporaryDirectory() as folder:
        return _walk(create_engine(f"sqlite:///{folder}/walk.db"))


def _walk(engine: Engine) -> Walk:
    outbox = Outbox(MetaData())
    outbox.message("user.registered")
    outbox.tasks.metadata.create_all(engine)
    scheduler = Scheduler(engine, outbox, {"kafka": MemoryPublisher()})
    scheduler.ownership.acquire()
    _message(engine, outbox, scheduler)  # what is made with the first one is no part of the way
    with _traced() as found:
        _message(engine, outbox, scheduler)
    with engine.connect() as connection:
        statuses = set(connection.scalars(select(outbox.tasks.c.status)))
    scheduler.stop()
    if statuses != {Status.SUCCESS}:
        raise RuntimeError(f"the messages have the statuses {statuses}, not SUCCESS alone: the walk was cut short")
    return found


def _message(engine: Engine, outbox: Outbox, scheduler: Scheduler) -> None:
    with Session(engine) as session, session.begin():
        outbox.publish(session, "user.registered", {"account_no": "A1001"}, key="A1001")
    scheduler.relays[0].step()


@contextmanager
def _traced() -> Iterator[Walk]:
    found = Walk([], Counter())
    files: dict[str, str | None] = {}

    def trace(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (name := _name(frame, files)) is not None:
            if name not in found.files:
                found.files.append(name)
            caller = _caller(frame, files)
            if caller is not None and caller != name:
                found.moves[caller, name] += 1

    sys.setprofile(trace)
    try:
        yield found
    finally:
        sys.setprofile(None)


def _caller(frame: FrameType, files: dict[str, str | None]) -> str | None:
    """Return the file of the nearest frame above that is the package's."""
    above = frame.f_back
    while above is not None:
        if (name := _name(above, files)) is not None:
            return name
        above = above.f_back
    return None


def _name(frame: FrameType, files: dict[str, str | None]) -> str | None:
    path = frame.f_code.co_filename
    if path not in files:
        place = Path(path)
        files[path] = str(place.relative_to(PACKAGE)) if place.is_relative_to(PACKAGE) else None
    return files[path]


def main(tell: Callable[[str], None] = print) -> None:
    """Print the files in their order, and the numbers."""
    files, moves = walk()
    for name in files:
        tell(name)
    if "--moves" in sys.argv:
        for (caller, called), times in moves.most_common():
            tell(f"{times:4}  {caller} -> {called}")
    tell(f"{len(files)} files, {moves.total()} moves, over {len(moves)} ways")


if __name__ == "__main__":
    main()
