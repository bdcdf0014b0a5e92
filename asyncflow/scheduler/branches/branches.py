"""All databases of one scheduler: begun, drained and ended each by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from asyncflow.events import Hooks
from asyncflow.scheduler.branches.branch import Branch
from asyncflow.scheduler.branches.starter import Starter
from asyncflow.scheduler.drained import Drained
from asyncflow.scheduler.loops.pulse import Pulse

_PATIENCE_WITH_TRIES_SECONDS = 60.0  # each of which has limits of its own
_PATIENCE_SECONDS = 3.0  # with databases that have not answered yet, when another one is at work
_LAST_SECONDS = 5.0  # behind those of a stop, for the last beat and for giving shards back


class Branches:
    """Hold the branches by the names of their databases; belongs to one process.

    The thread that starts or stops the scheduler begins and ends them. One database that is away, or is not as it has
    to be, holds up none of the others: its starter goes on trying.
    """

    def __init__(self, branches: Sequence[Branch], pulse: Pulse | None) -> None:
        self.by_name: Mapping[str, Branch] = {branch.name: branch for branch in branches}
        self._pulse = pulse  # None for a single one, which has its own
        self._starters: dict[str, Starter] = {}
        self._stop_threads: list[threading.Thread] = []

    def __iter__(self) -> Iterator[Branch]:
        return iter(self.by_name.values())

    def __len__(self) -> int:
        return len(self.by_name)

    def begin(self) -> None:
        """Begin all; raises what was wrong with the first of them if none could begin."""
        if self._pulse is None:
            for branch in self:
                branch.begin()
            return
        self._pulse.start()
        self._try_all()
        if self._is_one_begun():
            return
        errors = self._give_up()
        if not self._is_one_begun():
            raise errors[0]
        self._try_all()  # one has begun in this moment, so the others go on trying

    def tell_started(self) -> None:
        """Tell that a single one runs; of several, each is told of as it has begun."""
        if self._pulse is None:
            for branch in self:
                branch.tell_started()

    def tell_stopped(self) -> None:
        """Tell of each that had begun that it has ended."""
        for branch in self:
            branch.tell_stopped()

    def end(self, seconds: float) -> bool:
        """End all at once, within so many seconds and a few; return whether all ended well."""
        until = time.monotonic() + seconds
        if self._pulse is not None:
            self._pulse.stop(seconds)
        for branch in self:
            branch.ask_to_end()
        for starter in self._starters.values():
            starter.stop(0.0)
        if len(self) == 1:
            ended = [self._end_one(branch, until) for branch in sorted(self, key=lambda one: not one.is_begun)]
        else:
            ended = self._end_side_by_side(until)
        return all(ended)

    def drain(self, hooks: Hooks) -> dict[str, Drained]:
        """Drain one after the other, in this thread; return what each did, by the databases' names.

        Raises what kept the first of them from it if none could be drained.
        """
        done: dict[str, Drained] = {}
        errors: list[Exception] = []
        for name, branch in self.by_name.items():
            try:
                done[name] = branch.drain(hooks)
            except Exception as error:
                if self._pulse is None:
                    raise
                errors.append(error)
                done[name] = Drained(errors=(error,), unreachable=(name,))
        if len(errors) == len(self):
            raise errors[0]
        return done

    def is_working_here(self) -> bool:
        """Tell whether the caller is on a thread that begins or ends one, or is what one has at work."""
        is_starter = any(starter.is_current() for starter in self._starters.values())
        is_of_us = is_starter or threading.current_thread() in self._stop_threads
        return is_of_us or any(branch.machinery.is_working_here() for branch in self)

    def _is_one_begun(self) -> bool:
        return any(branch.is_begun for branch in self)

    def _try_all(self) -> None:
        tried = threading.Semaphore(0)
        self._starters = {branch.name: Starter(branch, tried) for branch in self if not branch.is_begun}
        for starter in self._starters.values():
            starter.start()
        self._await_tries(tried)

    def _await_tries(self, tried: threading.Semaphore) -> None:
        """Wait until each was tried once; not for long when there is one that works."""
        for _ in self._starters:
            is_there = self._is_one_begun()
            while not tried.acquire(timeout=_PATIENCE_SECONDS):
                if is_there:
                    return
                is_there = self._is_one_begun()

    def _give_up(self) -> list[Exception]:
        """Try no more; return what was wrong with each."""
        for starter in self._starters.values():
            starter.give_up(0.0)
        until = time.monotonic() + _PATIENCE_WITH_TRIES_SECONDS
        for starter in self._starters.values():
            starter.give_up(until - time.monotonic())  # the next start may not meet one that still tries
        errors = [starter.error for starter in self._starters.values() if starter.error is not None]
        self._starters = {}
        return errors

    def _end_one(self, branch: Branch, until: float) -> bool:
        """End one when it is tried no more; return whether it is not, and ended well."""
        starter = self._starters.get(branch.name)
        has_tried = starter is None or starter.stop(until - time.monotonic())
        return branch.end(until - time.monotonic()) and has_tried

    def _end_side_by_side(self, until: float) -> list[bool]:
        """End each on a thread: one whose database is away takes its time."""
        ended: list[bool] = []

        def end(branch: Branch) -> None:
            ended.append(self._end_one(branch, until))

        threads = self._stop_threads = [
            threading.Thread(target=end, args=(branch,), name=f"asyncflow-stop-{branch.name}", daemon=True)
            for branch in self
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until + _LAST_SECONDS - time.monotonic()))
        return [*ended, len(ended) == len(threads)]
