"""Every statement of scheduler, service, command line and cleaner has a bound for the rows that it examines.

At 10,000 task types with rows of all statuses, beside one type with many. A place that sends a statement and has no
bound here fails the test; and each verb has a bound for the statements that it sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import pytest
from sqlalchemy import MetaData, update

from asyncflow import Inbox, Outbox, Scheduler, Status
from asyncflow.scheduler import Audit, Configurations, DeadLetters, Selection
from asyncflow.scheduler.cluster.reshard import reshard
from asyncflow.scheduler.operator.pending_counts import count_pending
from asyncflow.scheduler.operator.report import report
from asyncflow.scheduler.operator.task_view import Filter, TaskView
from asyncflow.scheduler.worker.service_claims import ClaimOutcome, HeldClaim, ServiceClaims
from asyncflow.testing import MemoryPublisher
from tests.integration.speed.lanes import Lanes, analyze, fill
from tests.integration.speed.places import Sent, watching
from tests.support.databases import fresh_database, open_engine

pytestmark = pytest.mark.long

TYPES, SHARDS, HOT_ROWS = 10_000, 2, 20_000
DAY = 86400
NAMES = [f"type.{number:05}" for number in range(TYPES)]


class Crowd:
    """Hold two outboxes over one table of very many lanes: one that publishes all types, one that handles them."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        metadata = MetaData()
        self.messages, self.handlers = Outbox(metadata, shard_count=SHARDS), Outbox(MetaData(), shard_count=SHARDS)
        self.inbox = Inbox(metadata)
        metadata.create_all(engine)
        for name in NAMES:
            self.messages.message(name)
            self.handlers.task(name)(_nothing)
        tasks = self.messages.tasks
        fill(engine, tasks, Lanes(types=TYPES, shards=SHARDS))
        fill(engine, tasks, Lanes(types=2000, shards=SHARDS, status=Status.SUCCESS, at_seconds=-30 * DAY))
        fill(engine, tasks, Lanes(types=2000, shards=SHARDS, status=Status.FAILED))
        fill(engine, tasks, Lanes(types=1500, shards=SHARDS, status=Status.PROCESSING, at_seconds=3600))
        fill(engine, tasks, Lanes(types=1, shards=1, rows=HOT_ROWS, status=Status.CANCELLED, key="busy"))
        with engine.begin() as connection:  # claims that ran out
            its = (tasks.c.status == int(Status.PROCESSING), tasks.c.task_type < NAMES[40])
            connection.execute(update(tasks).where(*its).values(order_time=timedelta(seconds=-60)))
        analyze(engine, tasks)

    def verbs(self) -> Iterator[tuple[str, int, Callable[[], object]]]:
        """Yield what is done, with the most statements that it may send."""
        yield from self._looks()
        yield from self._changes()
        yield from self._service()
        yield from self._scheduler()
        yield "reshard", 60, lambda: reshard(self.engine, Outbox(MetaData(), shard_count=SHARDS))
        yield "inbox clean", 4, lambda: self.inbox.clean(self.engine, older_than=timedelta(0))

    def _looks(self) -> Iterator[tuple[str, int, Callable[[], object]]]:
        letters = DeadLetters(self.engine, self.messages)
        yield "status", 100, lambda: report(self.engine, self.messages)
        yield "counts", 20, lambda: count_pending(self.engine, self.messages)
        for chosen in (Filter(), Filter(task_type=NAMES[7]), Filter(status=Status.FAILED), Filter(key="busy")):
            yield f"list {chosen}", 12, partial(self._pages, chosen)
        yield "dead letters", 5, letters.list
        yield "dead letters further on", 10, lambda: letters.list(after=letters.list().next)
        yield "dead letters of a type", 4, lambda: letters.list(task_type=NAMES[1999])
        yield "dead letters of a key", 30, lambda: letters.list(key="busy")
        yield "one", 3, lambda: letters.inspect(letters.list(limit=1).letters[0].task_id)
        yield "audit", 1, Audit(self.engine, self.messages).entries
        configurations = Configurations(self.engine, self.messages)
        yield "configure", 6, lambda: configurations.put(NAMES[3], max_retries=3)
        yield "configuration", 1, configurations.all
        yield "as declared", 1, lambda: configurations.remove(NAMES[3])

    def _changes(self) -> Iterator[tuple[str, int, Callable[[], object]]]:
        letters = DeadLetters(self.engine, self.messages)
        everything = Selection(everything=True, limit=700)
        yield "replay", 60, lambda: letters.replay(everything, actor="me")
        yield "cancel", 60, lambda: letters.cancel(everything, actor="me")
        yield "discard", 60, lambda: letters.discard(everything, actor="me")
        analyze(self.engine, self.messages.audit_entries)
        yield "audit of many", 1, Audit(self.engine, self.messages).entries

    def _service(self) -> Iterator[tuple[str, int, Callable[[], object]]]:
        claims = ServiceClaims(self.handlers, self.engine, deletes=False)
        held: list[Any] = []

        def hold(limits: dict[str, int]) -> None:
            with self.engine.begin() as connection:
                held.extend(claims.hold(connection, "w", limits, 60))

        def settle() -> None:
            named = [HeldClaim(claim.task.id, claim.token) for claim in held]
            with self.engine.begin() as connection:
                claims.renew(connection, named, 60)
                claims.hear(connection, named)
                outcomes = [ClaimOutcome(one, "success") for one in named]
                claims.settle(connection, outcomes, self.handlers.handler_types.__getitem__)

        yield "hold", 4, lambda: hold({NAMES[5000]: 10})
        yield "hold of 300 types", 20 + 2 * 300, lambda: hold(dict.fromkeys(NAMES[6000:6300], 1))
        yield "set", 2000, settle

    def _scheduler(self) -> Iterator[tuple[str, int, Callable[[], object]]]:
        relaying = Scheduler(self.engine, self.messages, {"kafka": MemoryPublisher()})
        working = Scheduler(self.engine, self.handlers, {})
        yield "start", 30, relaying.machinery.take_shares
        yield "heartbeat", 8, relaying.cluster.step
        with closing(relaying.machinery.cleaner) as cleaner:
            yield "clean", 60, lambda: [cleaner.step() for _ in range(8)]
        yield "relay", 60, lambda: [relaying.relays[0].step() for _ in range(8)]
        yield "stop", 10, lambda: relaying.stop(timeout_seconds=10)
        yield "start to work", 30, working.machinery.take_shares
        yield "monitor", 8 + 4 * 40 * SHARDS, lambda: [working.machinery.monitor.step() for _ in range(4)]
        yield "timetable", 1, working.machinery.timetable.step
        yield "stop working", 10, lambda: working.stop(timeout_seconds=10)

    def _pages(self, chosen: Filter) -> None:
        view, cursor = TaskView(self.messages), None
        with self.engine.connect() as connection:
            for _ in range(2):
                cursor = view.page(connection, chosen, 50, cursor).next


def _nothing() -> None: ...


class Bound(NamedTuple):
    """Tell how many rows a statement may examine: for each that it returns or changes, and besides."""

    each: float
    besides: int

    def holds(self, sent: Sent) -> bool:
        return sent.examined <= self.each * sent.returned + self.besides


EXACT = Bound(1, 10)  # what it returns or changes
TWICE = Bound(2, 20)  # an index entry and its row, or ranges that are followed by others
LOOK = Bound(6, 60)  # lanes: a descent or three for each
OF_TYPES = Bound(0, 4 * 256 * SHARDS + 100)  # the lanes of 256 types, to return their firsts, or some of them
COUNTED = Bound(0, 110_000)  # entries of a status, at one go
BOUNDS = {
    "outbox/inbox:_delete": EXACT,
    "scheduler/cluster/database_registry:<lambda>": LOOK,
    "scheduler/cluster/database_registry:_leave": EXACT,
    "scheduler/cluster/database_registry:_recorded": EXACT,
    "scheduler/cluster/database_registry:_renew": EXACT,
    "scheduler/cluster/database_registry:own": EXACT,
    "scheduler/cluster/queries:<genexpr>": EXACT,
    "scheduler/cluster/queries:insert_member": EXACT,
    "scheduler/cluster/reshard:<lambda>": EXACT,
    "scheduler/cluster/reshard:_read": Bound(3, 2000),
    "scheduler/cluster/reshard:_record": EXACT,
    "scheduler/configuration/configurations:_put": EXACT,
    "scheduler/configuration/configurations:_read": EXACT,
    "scheduler/configuration/configurations:read_configuration": TWICE,
    "scheduler/configuration/configurations:work": EXACT,
    "scheduler/heads/queries:_read_few_pages": TWICE,
    "scheduler/heads/queries:read_heads_among": LOOK,
    "scheduler/heads/queries:read_heads_behind": LOOK,
    "scheduler/heads/queries:read_heads_of": LOOK,
    "scheduler/heads/queries:read_types": Bound(3, HOT_ROWS + 20),  # MariaDB may read all rows of a lone type
    "scheduler/heads/thin_lanes:_read_groups": TWICE,
    "scheduler/operator/audit:<lambda>": TWICE,
    "scheduler/operator/audit:write": EXACT,
    "scheduler/operator/dead_letters:<lambda>": EXACT,
    "scheduler/operator/dead_letters:_list": TWICE,
    "scheduler/operator/dead_letters:_shard_count": EXACT,
    "scheduler/operator/dead_letters:_write": TWICE,
    "scheduler/operator/dead_letters:write": TWICE,
    "scheduler/operator/key_rows:_read": TWICE,
    "scheduler/operator/report:<genexpr>": OF_TYPES,
    "scheduler/operator/report:_dead_letters": EXACT,
    "scheduler/operator/report:_owners": Bound(2, 40),
    "scheduler/operator/report:_types": COUNTED,
    "scheduler/operator/task_view:_page_of_key": TWICE,
    "scheduler/operator/task_view:page": TWICE,
    "scheduler/operator/type_counts:_scanned": COUNTED,
    "scheduler/operator/walk:_read": TWICE,
    "scheduler/relay/queries:run_on_ids": TWICE,
    "scheduler/relay/round_writer:_still_owned": EXACT,
    "scheduler/table/contexts:forget": TWICE,
    "scheduler/table/row_locks:lock": TWICE,
    "scheduler/table/shards:put_into_shards": TWICE,
    "scheduler/upkeep/cleaner:_delete": TWICE,
    "scheduler/upkeep/queries:read_expired": TWICE,
    "scheduler/upkeep/strays:<lambda>": TWICE,
    "scheduler/worker/claim_rows:renew": TWICE,
    "scheduler/worker/claim_rows:write": TWICE,
    "scheduler/worker/claiming:claim": TWICE,
    "scheduler/worker/rescue:_give_back": EXACT,
    "scheduler/worker/rescue:write": TWICE,
    "scheduler/worker/service_claims:_lock": TWICE,
    "scheduler/worker/service_claims:hear": TWICE,
}


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Give a table of 10,000 task types, on the two servers."""
    with fresh_database(request.param, tmp_path_factory.mktemp("crowd")) as url:
        engine = open_engine(url)
        yield Crowd(engine)
        engine.dispose()


def test_every_statement_examines_a_few_rows_for_each_that_it_returns_at_10_000_types(crowd: Crowd) -> None:
    faults: dict[str, str] = {}
    for verb, most, work in crowd.verbs():
        with watching(crowd.engine) as sent:
            work()
        if len(sent) > most:
            faults[verb] = f"{verb} sends {len(sent)} statements, and may send {most}"
        for one in sent:
            bound = BOUNDS.get(one.place)
            if bound is None:
                faults[one.place] = f"{verb}: {one.place} has no bound here: {one.text[:300]}"
            elif not bound.holds(one):
                told = f"examines {one.examined} rows to return {one.returned}: {one.text[:300]}"
                faults[one.place] = f"{verb}: {one.place} {told}"
    assert not faults, "\n".join(faults.values())
