"""The user's jobs of one scheduler: entered with its start, left with its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Engine

from asyncflow.errors import OptionError
from asyncflow.events import Hooks, StepFailed
from asyncflow.outbox import Outbox
from asyncflow.outbox.options import refuse_unknown
from asyncflow.scheduler.cluster.allocation import SharedOut
from asyncflow.scheduler.cluster.cluster import Cluster
from asyncflow.scheduler.cluster.membership import News
from asyncflow.scheduler.jobs.job import Job
from asyncflow.scheduler.jobs.marks import Marks
from asyncflow.scheduler.jobs.record import record
from asyncflow.scheduler.jobs.run import Assignment
from asyncflow.scheduler.jobs.runner import JobRunner
from asyncflow.scheduler.jobs.summons import Summons
from asyncflow.text import shown


class Roster:
    """Hold the jobs and, from ``enter`` to ``leave``, a runner for each; lives as long as its scheduler.

    Changed by who makes and starts that; its loops only read it.

    Raises OptionError for what is no job, and for two of one name.
    """

    def __init__(self, jobs: Iterable[Job], engine: Engine, outbox: Outbox, cluster: Cluster, hooks: Hooks) -> None:
        self.runners: list[JobRunner] = []
        self._jobs: dict[str, Job] = {}
        self._engine = engine
        self._outbox = outbox
        self._cluster = cluster
        self._hooks = hooks
        for job in jobs:
            self._add(job)

    def configure(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        """Lay options over those of the jobs, by their names; raises OptionError or UnknownOptionError."""
        refuse_unknown("the configuration", options, self._jobs)
        for name, values in options.items():
            self._jobs[name].with_options(values)

    def names(self) -> list[str]:
        """Return the jobs' names."""
        return list(self._jobs)

    def enter(self) -> None:
        """Make the runners, once, and let each take part; raises OptionError or ShardCountMismatchError."""
        # One by one: a start that failed at one of them may be repeated.
        for job in list(self._jobs.values())[len(self.runners) :]:
            self.runners.append(self._runner(job))
        for runner in self.runners:
            runner.share.acquire()

    def leave(self) -> None:
        """Give all items back."""
        for runner in self.runners:
            try:
                runner.share.release()
            except Exception as error:  # noqa: BLE001 - the database may be gone; the leases run out by themselves
                self._hooks.emit(StepFailed("stop", error, 0.0))

    def _add(self, job: Any) -> None:
        if not isinstance(job, Job):
            raise OptionError(f"jobs holds {shown(job)}; give DataflowJob or SimpleJob objects")
        if job.name in self._jobs:
            raise OptionError(f"jobs holds two of the name {job.name!r}; a name is a job's identity, give each its own")
        self._jobs[job.name] = job

    def _runner(self, job: Job) -> JobRunner:
        # What is recorded decides, also on the number of items.
        job.configure(record(self._engine, self._outbox, job))
        settings = job.settings
        allocation = SharedOut(job.name, settings.strategy())
        summons = Summons(f"job-{job.name}", self._hooks, latches_misfires=settings.misfire)
        news = News(on_change=summons.latch.wake, on_owed=summons.owe)
        ownership = self._cluster.ownership_of(job.name, settings.sharding_total_count, allocation, news=news)
        marks = Marks(self._engine, self._outbox.shards, self._outbox.jobs, job.name, ownership.owner)
        return JobRunner(Assignment(job, ownership, summons, self._hooks, marks))
