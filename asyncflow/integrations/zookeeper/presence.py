"""Who is there, by ZooKeeper: nodes that end with their sessions, and the watch on those of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from asyncflow.errors import RegistryAwayError
from asyncflow.integrations.zookeeper import questions
from asyncflow.integrations.zookeeper.client_log import LOGGER
from asyncflow.integrations.zookeeper.console import Console
from asyncflow.integrations.zookeeper.session import EnsembleSession
from asyncflow.integrations.zookeeper.tree import Tree, instance_text


class Attendance(NamedTuple):
    """Hold who came to a job by ZooKeeper and lives, and who came by it and is dead."""

    present: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


class Presence:
    """Be present in jobs, for one instance; any thread may call, and none waits longer than the session's limits.

    ``works_until``, on the ``clock``: until then nobody else can have seen this instance gone.
    """

    def __init__(self, session: EnsembleSession, tree: Tree, instance: str, clock: Callable[[], float]) -> None:
        self.works_until = float("-inf")
        self._session = session
        self._tree = tree
        self._instance = instance
        self._clock = clock
        self._console = Console(session, tree, instance)
        self._changed: dict[str, Callable[[], None]] = {}  # by job
        self._entered: dict[str, int] = {}  # by job: the session whose node stands there
        self._looking = threading.RLock()
        self._is_away = False

    def jobs(self) -> list[str]:
        """Return the jobs in which this instance is present, or would be if it could."""
        return list(self._changed)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Have a session while something is entered; raises RegistryAwayError. One that nothing needs is ended."""
        try:
            self._session.open()
            yield
        finally:
            if not self._changed:
                self._session.end()

    def enter(self, job: str, item_count: int, changed: Callable[[], None]) -> None:
        """Be present in a job of an open session; ``changed`` is called when anybody comes or goes.

        Raises RegistryAwayError.
        """
        with self._looking:
            self._enter(job)
            self._console.describe(job, item_count)
            self._changed[job] = changed

    def look(self, jobs: Collection[str]) -> dict[str, Attendance]:
        """Return what is seen of those of the jobs in which this instance is present; nothing of an ensemble away.

        What has ended with an older session is entered again.
        """
        with self._looking:
            mine = [job for job in jobs if job in self._changed]
            try:
                sights = self._seen(mine) if mine else {}
            except RegistryAwayError as error:
                self._note_away(error)
                return {}
            self._note_back()
            return sights

    def show(self, job: str, items: Collection[int]) -> None:
        """Tell ElasticJob's console that this instance owns these, and no others, of a job that was just seen."""
        with self._looking:
            try:
                self._console.show(job, items)
            except RegistryAwayError as error:
                self._note_away(error)

    def forget(self, job: str, names: Collection[str]) -> None:
        """Forget that these, who are dead, came by ZooKeeper: nobody else knows of them any more."""
        with self._looking:
            try:
                if names and not self._is_away:
                    self._session.answers([questions.deleting(self._tree.known(job, name)) for name in sorted(names)])
                    self._console.drop_hosts(job, names)
            except RegistryAwayError as error:
                self._note_away(error)

    def leave(self, job: str) -> None:
        """Be present no more; the last one to be left ends the session, and with it all that was not deleted."""
        with self._looking:
            self._changed.pop(job, None)
            if self._entered.pop(job, None) is not None and not self._is_away:
                try:
                    self._leave(job)
                except RegistryAwayError as error:
                    self._note_away(error)
            if not self._changed:
                self._session.end()

    def close(self) -> None:
        """End the session; the next look begins another one, if anything was not left."""
        with self._looking:
            self._entered.clear()
            self._session.end()

    # -- under the lock ----------------------------------------------------------------------------------

    def _seen(self, jobs: list[str]) -> dict[str, Attendance]:
        self._session.begin()
        asked_at, sights = self._clock(), self._sights(jobs)
        anew = [job for job in jobs if not self._stands(job, sights[job])]
        for job in anew:
            self._enter(job)
        if anew:
            asked_at, sights = self._clock(), self._sights(jobs)
        if all(self._stands(job, sights[job]) for job in jobs):
            self.works_until = asked_at + self._session.limits.rest_seconds
        return sights

    def _stands(self, job: str, sight: Attendance) -> bool:
        return self._instance in sight.present and self._entered.get(job) == self._session.number

    def _sights(self, jobs: list[str]) -> dict[str, Attendance]:
        """Ask the leader, for a server that lags knows of neither the others nor the end of this session.

        Who came by ZooKeeper is read before who lives: whoever comes meanwhile is not taken for dead.
        """
        asked = [questions.syncing()]
        for job in jobs:
            living = questions.listing(self._tree.instances(job), self._changed[job])
            asked += [questions.listing(self._tree.known(job)), living]
        _, *answers = self._session.answers(asked)
        names = [questions.names_in(answer) for answer in answers]
        pairs = zip(names[::2], names[1::2], strict=True)
        return {job: Attendance(present, known - present) for job, (known, present) in zip(jobs, pairs, strict=True)}

    def _enter(self, job: str) -> None:
        """Write the node that ends with this session, in place of that of an older one, and then what lasts."""
        number, path = self._session.number, self._tree.instances(job, self._instance)
        create = questions.creating(path, instance_text(self._instance), ephemeral=True)
        (made,) = self._session.answers([create])
        if isinstance(made, Exception):
            (known,) = self._session.answers([questions.describing(path)])
            if known is None or known.ephemeralOwner != number:
                self._session.answers([questions.deleting(path), create])
        self._session.answers([questions.creating(self._tree.known(job, self._instance))])
        self._console.begin(job)
        if number is not None and number == self._session.number:
            self._entered[job] = number

    def _leave(self, job: str) -> None:
        self._console.clear(job)
        nodes = (self._tree.known(job, self._instance), self._tree.instances(job, self._instance))
        self._session.answers([questions.deleting(node) for node in nodes])
        self._console.drop_hosts(job, [self._instance])

    def _note_away(self, error: RegistryAwayError) -> None:
        if not self._is_away:
            self._is_away = True
            seconds = self.works_until - self._clock()
            when = f"in {seconds:.1f} s" if seconds > 0 else "now"
            LOGGER.warning("%s; unless it answers soon, what this instance owns rests, beginning %s", error, when)

    def _note_back(self) -> None:
        if self._is_away:
            self._is_away = False
            LOGGER.warning("ZooKeeper answers again; what this instance owns is worked on")
