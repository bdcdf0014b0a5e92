"""The pages of a round: the rows that stand first in the lanes that are served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from operator import attrgetter

from sqlalchemy import Connection, Table

from asyncflow.outbox import Task
from asyncflow.scheduler.cluster.share import Hold
from asyncflow.scheduler.configuration.types_in_force import with_retries_in_force
from asyncflow.scheduler.heads import queries
from asyncflow.scheduler.heads.planner_statistics import MANY_ROWS, PlannerStatistics
from asyncflow.scheduler.heads.priorities import Priorities, RoundPlan, in_no_order
from asyncflow.scheduler.heads.queries import MOST_PAGES, Head, Lane, Pages
from asyncflow.scheduler.heads.thin_lanes import ThinLanes
from asyncflow.scheduler.heads.turns import Turns
from asyncflow.scheduler.heads.waits import DueMoments
from asyncflow.scheduler.relay.round import Round, payload_bytes
from asyncflow.scheduler.relay.shared import Shared
from asyncflow.scheduler.relay.type_walk import WholeRead

_retry_count_of = attrgetter("retry_count")


class PageReader:
    """Read the pages that a plan names; lives as long as its relay, used by its thread alone."""

    def __init__(
        self, tasks: Table, shared: Shared, priorities: Priorities, database_now: Callable[[], float | None]
    ) -> None:
        self._tasks = tasks
        self._database_now = database_now
        self._types = shared.types
        self._locked = shared.locked
        self._priorities = priorities
        self._statistics = PlannerStatistics(tasks)
        self._lanes = ThinLanes()
        self._newest_turns = Turns()
        self._crowded: set[Lane] = set()  # lanes whose last page was full, of retries mostly

    def read(self, connection: Connection, plan: RoundPlan, due: Iterable[Head], hold: Hold) -> Round:
        """Return a round of what the plan takes, and of what is fresh where the pages are full of retries.

        ``due`` are the heads of all that could be read.
        """
        heads, limits = [portion.head for portion in plan.portions], [portion.limit for portion in plan.portions]
        reads = queries.read_pages if len(heads) <= MOST_PAGES else self._lanes.read
        rows = reads(connection, self._tasks, heads, limits) if heads else Pages()
        tasks = self._priorities.take(rows, plan)
        left_bytes = payload_bytes(rows) - payload_bytes(tasks) if len(tasks) < len(rows) else 0
        if len(rows) >= MANY_ROWS:
            self._statistics.after_reading(connection, len(rows))
        newest = self._newest_behind_retries(connection, due, plan)
        due_times = DueMoments((*rows.parts, *newest.parts), self._database_now())
        if newest:
            seen = {task.raw_id for task in tasks}
            tasks += [task for task in newest if task.raw_id not in seen]
        self._remember_crowded(plan, rows)
        behind: list[Task] = []
        if self._locked.parts:
            tasks, behind = self._locked.passed_over(tasks)
        if self._types.configured:
            tasks = with_retries_in_force(tasks, self._types.configured)
        found = Round(hold, tasks, behind=behind, read=len(rows), left_bytes=left_bytes, due_times=due_times)
        if self._types.ordered:
            found.full = plan.full_pages(rows)
        return found

    def round_of(self, whole: WholeRead, hold: Hold) -> Round:
        """Return a round of types that were read whole."""
        tasks, configured = whole.tasks, self._types.configured
        due_times = DueMoments((whole.moments,), self._database_now())
        read, left_bytes = len(tasks) + len(whole.left), payload_bytes(whole.left)
        tasks = with_retries_in_force(tasks, configured) if configured else tasks
        return Round(hold, tasks, read=read, left_bytes=left_bytes, due_times=due_times)

    def _newest_behind_retries(self, connection: Connection, due: Iterable[Head], plan: RoundPlan) -> Pages:
        """Read fresh rows past a crowd of retries that are due, so that a failing many hold up no newcomer.

        Of all lanes of such a type in turn: the retries of others may be earlier for long.
        """
        crowded = {head.task_type for head in due if (head.task_type, head.shard) in self._crowded}
        if not crowded:
            return Pages()
        lanes = self._newest_turns.next(in_no_order(due, crowded), len(plan.portions))
        return queries.read_pages(connection, self._tasks, lanes, plan.limit, newest=True)

    def _remember_crowded(self, plan: RoundPlan, rows: Iterable[Task]) -> None:
        retries = Counter((task.task_type, task.shard) for task in filter(_retry_count_of, rows))
        for head, _, limit in plan.portions:
            lane = (head.task_type, head.shard)
            self._crowded.discard(lane)
            if retries[lane] * 2 > limit and head.task_type not in self._types.ordered:
                self._crowded.add(lane)
