"""How far long work has come, how fast it goes and how long it may still take: for a person at the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asyncflow.integrations.terminal import rich_module

_TOLD_SECONDS = 5.0  # between two lines, without the extra
TellProgress = Callable[[int], None]


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[TellProgress]:
    """Give what is to be told how much of ``total`` is done; it shows that on standard error, if that is a terminal.

    With the extra ``cli`` as a bar that moves, without it a line now and then.
    """
    module = rich_module("progress") if sys.stderr.isatty() else None
    if module is not None:
        with _bar(module, what, total) as tell:
            yield tell
    elif sys.stderr.isatty():
        yield Lines(what, total).tell
    else:
        yield lambda _: None


@contextmanager
def _bar(module: Any, what: str, total: int | None) -> Iterator[TellProgress]:
    columns = (
        module.TextColumn("{task.completed:,} {task.description}"),
        module.BarColumn(),
        module.TextColumn("{task.fields[rate]}"),
        module.TimeRemainingColumn(),
    )
    with module.Progress(*columns, console=module.Console(stderr=True), transient=True) as bar:
        task, began = bar.add_task(what, total=total, rate=""), time.monotonic()

        def tell(done: int) -> None:
            bar.update(task, completed=done, rate=rate_of(done, time.monotonic() - began))

        yield tell


class Lines:
    """Write a line on standard error every few seconds; used by the thread that works."""

    def __init__(self, what: str, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._total = total
        self._clock = clock
        self._began = self._told_at = clock()

    def tell(self, done: int) -> None:
        """Take in how much is done."""
        now = self._clock()
        if now - self._told_at < _TOLD_SECONDS:
            return
        self._told_at = now
        seconds = now - self._began
        print(f"{done:,} {self._what}, {rate_of(done, seconds)}{self._rest(done, seconds)}", file=sys.stderr)

    def _rest(self, done: int, seconds: float) -> str:
        if self._total is None or not 0 < done <= self._total:
            return ""
        return f", about {(self._total - done) * seconds / done:.0f} s left"


def rate_of(done: int, seconds: float) -> str:
    """Return how many a second that is."""
    return f"{done / seconds:,.0f}/s" if seconds > 0 else ""
