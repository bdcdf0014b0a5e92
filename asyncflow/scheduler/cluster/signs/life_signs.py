"""The signs of life of one instance: given with each look at those of the others."""

from __future__ import annotations

import itertools
import logging
import math
import secrets
import threading
from collections.abc import Callable, Collection, Mapping

from asyncflow.errors import RegistryAwayError, RegistryRefusedError
from asyncflow.forks import leave_at_fork
from asyncflow.scheduler.cluster.signs.board import HeldItems, Sign, SignBoard
from asyncflow.scheduler.cluster.signs.sign_watch import SignSession, SignWatch

LOGGER = logging.getLogger("asyncflow.registry")
_PAUSE_SECONDS = 0.5  # between two questions to a board that is away: one heartbeat asks several
Silent = Mapping[str, HeldItems]  # who has been silent for a session, with what it told that it held


class LifeSigns:
    """Give signs in the jobs that were entered, and read those of others; any thread may call.

    A sign promises that what it tells is worked on for two thirds of a session at the most, unless another sign is
    answered meanwhile. What was promised is ``overdue`` at the end of that, whoever answers later, and may be had in
    new epochs, of which no sign tells: nobody takes those, and they are worked on as their leases allow.
    """

    def __init__(self, board: SignBoard, instance: str, session: SignSession, clock: Callable[[], float]) -> None:
        self._board = board
        self._instance = instance
        self._session = session
        self._clock = clock
        self._watch = SignWatch(session)
        self._luck, self._numbers = secrets.token_hex(4), itertools.count()
        self._promised: dict[str, HeldItems] = {}  # by the jobs that were entered
        self._works_until = float("-inf")
        self._is_away = False
        self._asks_from = float("-inf")
        self._looking = threading.RLock()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Begin anew without a connection: called by a fork."""
        self._looking = threading.RLock()
        self._board.leave_to_parent()

    @property
    def rests_at(self) -> float:
        """Return until when this instance may work on what it owns, on the clock; for ever if no sign tells of any."""
        with self._looking:
            return self._works_until if any(self._promised.values()) else math.inf

    def enter(self, job: str) -> None:
        """Give signs in a job from now on, as soon as the board answers; raises RegistryRefusedError."""
        with self._looking:
            self._promised.setdefault(job, {})
            try:
                self._exchange()
            except RegistryRefusedError:
                del self._promised[job]
                raise
            except RegistryAwayError as error:
                self._note_away(error)

    def look(self) -> dict[str, Silent]:
        """Give a sign in all jobs; return who is silent there, by job; nothing if the board is away."""
        with self._looking:
            if not self._promised or self._clock() < self._asks_from:
                return {}
            try:
                silent = self._exchange()
            except RegistryAwayError as error:
                self._note_away(error)
                return {}
            self._note_back()
            return silent

    def doubtful(self, job: str, unheard_seconds: Mapping[str, float]) -> frozenset[str]:
        """Return who of these had a sign here, and neither it nor the database shows that they live.

        The database shows it of who has renewed something within a session. Leases are renewed more rarely than that
        where they are long, so a sign that has changed shows it as well. What a board told that is away by now holds
        of those who have renewed nothing since.
        """
        with self._looking:
            seconds = max(self._session.seconds, self._clock() - self._watch.answered_at)
            return frozenset(name for name in self._watch.unproven(job) if unheard_seconds.get(name, 0.0) > seconds)

    def promise(self, held: Mapping[str, HeldItems]) -> None:
        """Tell from now on that this is held in these jobs; no board that is away, nor while a promise is overdue."""
        with self._looking:
            new = {job: dict(its) for job, its in held.items() if self._promised.get(job, its) != its}
            if self._is_away or not new or self.overdue():
                return
            if not any(self._promised.values()):
                self._works_until = self._clock() + self._session.work_seconds
            self._promised |= new
            try:
                self._exchange()
            except RegistryAwayError as error:
                self._note_away(error)

    def overdue(self) -> dict[str, HeldItems]:
        """Return what was promised, by job, if the time of that is over."""
        with self._looking:
            if self._clock() < self._works_until:
                return {}
            return {job: held for job, held in self._promised.items() if held}

    def withdraw(self, job: str, owned: HeldItems) -> None:
        """Promise no more of a job than what is ``owned`` still in an epoch that was told: that stays overdue."""
        with self._looking:
            if job in self._promised:
                self._promised[job] = dict(self._promised[job].items() & owned.items())

    def forget(self, job: str, instances: Collection[str]) -> None:
        """Take down the signs of the silent of whom nobody knows anything else."""
        with self._looking:
            if instances and not self._is_away:
                self._take_down(job, instances)

    def leave(self, job: str) -> None:
        """Give signs in a job no more."""
        with self._looking:
            if self._promised.pop(job, None) is not None and not self._is_away:
                self._take_down(job, [self._instance])
            if not self._promised:
                self._board.close()

    def close(self) -> None:
        """End the connection; the next look makes another one."""
        with self._looking:
            self._board.close()

    # -- under the lock ----------------------------------------------------------------------------------

    def _exchange(self) -> dict[str, Silent]:
        asked_at = self._clock()
        text = f"{self._luck}-{next(self._numbers)}"
        signs = {job: Sign(text, held) for job, held in self._promised.items()}
        seen = self._board.exchange(self._instance, signs)
        answered_at = self._clock()
        # Not later: others may be taking by the last sign what it told, and do not see this one any more.
        if answered_at < self._works_until:
            self._works_until = asked_at + self._session.work_seconds
        others = {job: {name: one for name, one in seen[job].items() if name != self._instance} for job in signs}
        silent = self._watch.silent(others, asked_at, answered_at)
        return {job: self._held_by(job, {name: others[job][name] for name in names}) for job, names in silent.items()}

    def _held_by(self, job: str, signs: Mapping[str, str]) -> Silent:
        if not signs:
            return {}
        told = self._board.held_by(job, signs)
        return {name: told.get(name, {}) for name in signs}

    def _take_down(self, job: str, instances: Collection[str]) -> None:
        try:
            self._board.take_down(job, sorted(instances))
        except RegistryAwayError as error:
            self._note_away(error)

    def _note_away(self, error: RegistryAwayError) -> None:
        self._asks_from = self._clock() + _PAUSE_SECONDS
        if not self._is_away:
            self._is_away = True
            LOGGER.warning("%s; until it answers, leases alone tell who lives", error)

    def _note_back(self) -> None:
        if self._is_away:
            self._is_away = False
            LOGGER.warning("the registry answers again; it tells who lives")
