"""A table of very many lanes, and all that scheduler, service, command line and cleaner do with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import Engine, MetaData, insert, select, update
from sqlalchemy.orm import Session

from asyncflow import Inbox, Outbox, Scheduler, Status, TaskContext
from asyncflow.consuming.effects import Effects
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.integrations.kafka.consuming.received import Partition, Received
from asyncflow.integrations.prometheus import OutboxCollector
from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.look_up.task_rows import Filter
from asyncflow.scheduler import Audit, Configurations, DeadLetters, Selection
from asyncflow.scheduler.charts.charts import charts
from asyncflow.scheduler.cluster.resharding import reshard as resharding
from asyncflow.scheduler.cluster.resharding.reshard import reshard
from asyncflow.scheduler.diagnosis.diagnose import diagnose
from asyncflow.scheduler.diagnosis.explain import explain
from asyncflow.scheduler.diagnosis.flows import Lateness, look_at_flows
from asyncflow.scheduler.notices import Notice, Notifier
from asyncflow.scheduler.operator.by_hand.purge import Purge, Purger
from asyncflow.scheduler.operator.instances import Instances
from asyncflow.scheduler.operator.pending_counts import count_pending
from asyncflow.scheduler.operator.report import report
from asyncflow.scheduler.operator.schedules import Schedules
from asyncflow.scheduler.operator.task_view import TaskView
from asyncflow.scheduler.telling.instance_state import InstanceState, ToldTrouble
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.claiming.service_claims import ServiceClaims
from asyncflow.scheduler.worker.verdict import Verdict
from asyncflow.testing import MemoryPublisher
from tests.integration.speed.beliefs import believe
from tests.integration.speed.deeds import coalescing, handlers, queued, refusals, writers
from tests.integration.speed.keeping import by_hand, rolling
from tests.integration.speed.lanes import Lanes, analyze, fill

DAY = 86400
BELIEVED_ROWS = 11_000_000
PARKED = 300
Work = Callable[[], object]
Verb = tuple[str, int, Work]  # what is done, the most statements that it may send, and how it is done


class Size(NamedTuple):
    """Tell how large a crowd is; ``hot_rows`` are in one lane, PENDING and CANCELLED ones."""

    types: int
    shards: int
    hot_rows: int

    @property
    def names(self) -> list[str]:
        """Return the task types."""
        return [f"type.{number:05}" for number in range(self.types)]

    @property
    def lanes(self) -> int:
        """Return how many there are."""
        return self.types * self.shards


class Crowd:
    """Hold outboxes over one table of very many lanes: one that publishes all types, one that handles them.

    ``ordered`` publishes the last types in order; so does nobody else.
    """

    def __init__(self, engine: Engine, size: Size) -> None:
        self.engine, self.size, self.names = engine, size, size.names
        metadata = MetaData()
        self.messages = Outbox(metadata, shard_count=size.shards)
        self.handlers, self.ordered = (Outbox(MetaData(), shard_count=size.shards) for _ in range(2))
        self.inbox = Inbox(metadata)
        metadata.create_all(engine)
        for name in self.names:
            self.messages.message(name)
            self.handlers.task(name)(_nothing)
        for name in self.names[-3:]:
            self.ordered.message(name, ordered=True)
        self.tasks = self.messages.tasks
        self._fill()
        self._park()
        self._tell()
        analyze(engine, self.tasks)

    def _fill(self) -> None:
        types, shards, hot = self.size
        put = partial(fill, self.engine, self.tasks)
        put(Lanes(types=types, shards=shards))
        put(Lanes(types=types // 5, shards=shards, status=Status.SUCCESS, at_seconds=-30 * DAY))
        put(Lanes(types=types // 5, shards=shards, status=Status.FAILED))
        put(Lanes(types=types // 7, shards=shards, status=Status.PROCESSING, at_seconds=3600))
        put(Lanes(types=1, shards=1, rows=hot, status=Status.CANCELLED, key="busy"))
        put(Lanes(types=1, shards=1, first_row=1, rows=hot, key="hot"))
        t, few = self.tasks.c, max(1, 40 // shards)
        with self.engine.begin() as connection:  # claims that ran out
            its = (t.status == int(Status.PROCESSING), t.task_type < self.names[few])
            connection.execute(update(self.tasks).where(*its).values(order_time=timedelta(seconds=-60)))

    def _park(self) -> None:
        parked = self.messages.parked_keys
        rows = [
            {"task_type": self.names[-1], "task_key": f"key-{number}", "shard": 0, "since": timedelta(seconds=-9999)}
            for number in range(PARKED)
        ]
        with self.engine.begin() as connection:
            late = {"due": timedelta(seconds=-1), "blocked_by": None}
            connection.execute(insert(parked), [{**row, **late} for row in rows])

    def _tell(self) -> None:
        """Let an instance tell of what the doctor looks into."""
        told = ToldTrouble(name=self.names[0], count=9, since=time.time(), last=time.time())
        state = InstanceState(ran_out=(told,), unhandled=tuple(self.names[:20]), success_kept_seconds=DAY)
        row = {"job": "outbox", "instance": "one", "joined_at": NO_TIME, "leaving": False, "state": state.as_text()}
        with self.engine.begin() as connection:
            lease = {"lease_until": timedelta(seconds=DAY)}
            connection.execute(insert(self.messages.instances), [{**row, **lease}])

    @property
    def fullest(self) -> int:
        """Return how many rows a lane holds that the database may read to its end, as it expects one row."""
        return self.size.hot_rows if self.engine.dialect.name == "mysql" else 0

    def believing(self) -> None:
        """Let the planner believe in the table of an outbox that has been at work for long."""
        believe(self.engine, self.tasks, BELIEVED_ROWS)

    def looks(self) -> Iterator[Verb]:
        """Yield what only looks."""
        letters, configurations = DeadLetters(self.engine, self.messages), Configurations(self.engine, self.messages)
        of_all, names = 60 + self.size.types // 50, self.names
        yield "status", of_all, lambda: report(self.engine, self.messages)
        yield "counts", of_all, lambda: count_pending(self.engine, self.messages)
        yield "doctor", 80, lambda: diagnose(self.engine, self.messages)
        yield "metrics", 80, self._scrape
        for status in (Status.PENDING, Status.PROCESSING, Status.SUCCESS, Status.FAILED):
            yield f"explain {status.name}", 30, partial(explain, self.engine, self.messages, self._one(status))
        for chosen in (Filter(), Filter(task_type=names[7]), Filter(status=Status.FAILED), Filter(key="busy")):
            yield f"list {chosen}", 12, partial(self._pages, chosen)
        now = datetime.now(timezone.utc)
        of_key: dict[str, Any] = {"key": "busy", "newest_first": True}
        yield "find a key", 4, partial(self._find, of_key)
        yield "find in a key", 14, partial(self._find, {**of_key, "status": Status.FAILED, "until": now})
        yield "find the newest", 4, partial(self._find, {"newest_first": True})
        of_time: dict[str, Any] = {"since": datetime(1970, 1, 2, tzinfo=timezone.utc), "task_type": names[7]}
        yield "find along time", 14, partial(self._find, of_time)
        yield "find a status", 12, partial(self._find, {"status": Status.FAILED, "task_type": names[1]})
        yield "find ids", 1, partial(self._find, {"ids": [self._one(Status.FAILED)]})
        yield "dead letters", 5, letters.list
        yield "dead letters further on", 10, lambda: letters.list(after=letters.list().next)
        yield "dead letters of a type", 4, lambda: letters.list(task_type=names[self.size.types // 5 - 1])
        yield "dead letters of a key", 30, lambda: letters.list(key="busy")
        yield "one", 3, lambda: letters.inspect(letters.list(limit=1).letters[0].task_id)
        yield "audit", 1, Audit(self.engine, self.messages).entries
        yield "instances", 2, Instances(self.engine, self.messages).all
        yield "shards", 1, Instances(self.engine, self.messages).shards
        yield "jobs", 1, Schedules(self.engine, self.messages).jobs
        yield "periodic", 1, Schedules(self.engine, self.messages).periodic
        yield "configuration", 1, configurations.all
        yield "charts", 3, lambda: charts(self.engine, self.messages)
        lateness = Lateness(dict.fromkeys(names[:100], 60.0), deletes=False)
        yield "flows", 6, lambda: look_at_flows(self.engine, self.messages, lateness)
        yield "result", 2, partial(self._result, self._one(Status.FAILED))
        yield "one task", 2, partial(self._whole, self._one(Status.PENDING))
        old = Purge(older_than_seconds=20 * DAY, task_type=names[0])
        yield "preview of a purge", 3 + self.size.shards, lambda: Purger(self.engine, self.messages).preview(old)

    def changes(self) -> Iterator[Verb]:
        """Yield all else, in an order in which each finds what it needs."""
        yield from writers(self)
        yield from self._operator()
        yield from self._service()
        yield from self._consumer()
        yield from self._scheduler()
        yield from handlers(self)
        yield from queued(self)
        yield from self._upkeep()
        yield from refusals(self)
        yield from coalescing(self)
        yield from by_hand(self)
        yield from rolling(self)
        pages = 2 + (2 * self.size.lanes + self.size.hot_rows) // resharding._PAGE
        count = 60 + pages * (4 + self.size.shards) + 2 * PARKED  # of a page one for each shard that rows go to
        yield "reshard", count, lambda: reshard(self.engine, Outbox(MetaData(), shard_count=self.size.shards))
        yield "inbox clean", 4, lambda: self.inbox.clean(self.engine, older_than=timedelta(0))

    def _operator(self) -> Iterator[Verb]:
        configurations = Configurations(self.engine, self.messages)
        yield "configure", 6, lambda: configurations.put(self.names[3], max_retries=3)
        yield "as declared", 1, lambda: configurations.remove(self.names[3])
        letters = DeadLetters(self.engine, self.messages)
        everything = Selection(everything=True, limit=700)
        letter = self._one(Status.FAILED)
        yield "mend", 10, lambda: letters.mend(letter, b"[]", seen=b"{}", detail="", actor="me")
        yield "replay", 200, lambda: letters.replay(everything, actor="me")
        yield "cancel", 200, lambda: letters.cancel(everything, actor="me")
        yield "discard", 200, lambda: letters.discard(everything, actor="me")
        purge = Purge(older_than_seconds=20 * DAY, task_type=self.names[0])
        yield "purge", 10 + self.size.shards + 3, lambda: Purger(self.engine, self.messages).run(purge, actor="me")
        analyze(self.engine, self.messages.audit_entries)
        yield "audit of many", 1, Audit(self.engine, self.messages).entries
        yield "drain", 3, lambda: Instances(self.engine, self.messages).drain("one")
        notifier = Notifier(self.engine, self.messages, [_Channel()])
        yield "notices", 80 + 2 * 50, notifier.step

    def _service(self) -> Iterator[Verb]:
        claims = ServiceClaims(self.handlers, self.engine, deletes=False)
        held: list[Any] = []
        half = self.size.types // 2

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

        yield "hold", 4, lambda: hold({self.names[half]: 10})
        yield "hold of the hot", 3 * 12, lambda: hold({self.names[0]: 100})
        many = self.names[half : half + 100]
        yield "hold of many types", 20 + 2 * len(many), lambda: hold(dict.fromkeys(many, 1))
        yield "set", 1000, settle

    def _consumer(self) -> Iterator[Verb]:
        outbox = Outbox(MetaData(), shard_count=self.size.shards)
        consumer = Consumer(self.engine, outbox, self.inbox, "nowhere:1", group="g", client="kafka-python")
        consumer.subscribe("seen")(_subscriber)
        effects, (subscription,) = Effects(self.engine, outbox, self.inbox), consumer.subscriptions
        message = Received(Partition("seen", 0), 1, None, b"{}", {"message-id": str(uuid4()).encode()})
        other = message._replace(headers={}, offset=2)
        yield "consume", 2, lambda: effects.deliver(subscription, message, 1)
        yield "consume again", 2, lambda: effects.deliver(subscription, message, 1)
        failed = Verdict(Status.FAILED, error="ValueError: no")
        yield "bury", 3, lambda: effects.bury(subscription, other, failed)

    def _scheduler(self) -> Iterator[Verb]:
        relaying = Scheduler(self.engine, self.messages, {"kafka": MemoryPublisher()})
        working = Scheduler(self.engine, self.handlers, {})
        yield "start", 30, relaying.machinery.take_shares
        yield "heartbeat", 8, relaying.cluster.step
        with closing(relaying.machinery.staff.cleaner) as cleaner:
            # Of a key as many again while it steps past locks, which a slow machine may lead it to.
            yield "clean", 60 + 8 * PARKED, lambda: [cleaner.step() for _ in range(8)]
        yield "relay", 60, lambda: [relaying.relays[0].step() for _ in range(8)]
        yield "stop", 10, lambda: relaying.stop(timeout_seconds=10)
        yield "start to work", 30, working.machinery.take_shares
        yield "monitor", 8 + 4 * 2 * 64, lambda: [working.machinery.staff.monitor.step() for _ in range(4)]
        yield "timetable", 1, working.machinery.staff.timetable.step
        yield "stop working", 10, lambda: working.stop(timeout_seconds=10)

    def _upkeep(self) -> Iterator[Verb]:
        keeping = Scheduler(self.engine, self.ordered, {"kafka": MemoryPublisher()})
        yield "start in order", 30, keeping.machinery.take_shares
        yield "put in order", 3 * 3, keeping.machinery.staff.cleaner.put_in_order
        yield "put back", 60 + 4 * PARKED, keeping.machinery.staff.cleaner.step
        yield "relay in order", 3 * PARKED, lambda: [keeping.relays[0].step() for _ in range(2)]
        yield "stop in order", 10, lambda: keeping.stop(timeout_seconds=10)

    def _result(self, task_id: Any) -> None:
        with self.engine.connect() as connection:
            self.messages.result(connection, task_id)

    def _whole(self, task_id: Any) -> None:
        with self.engine.connect() as connection:
            assert TaskView(self.messages).one(connection, task_id) is not None

    def _scrape(self) -> None:
        registry = CollectorRegistry()
        registry.register(OutboxCollector(self.engine, self.messages))
        assert b"asyncflow_look_failed 0.0" in generate_latest(registry)

    def _one(self, status: Status) -> Any:
        t = self.tasks.c
        # Of the hot lane the last one, where there is one.
        latest = select(t.id).where(t.status == int(status)).order_by(t.task_type, t.shard, t.order_time.desc())
        with self.engine.connect() as connection:
            return connection.execute(latest.limit(1)).scalar_one()

    def _pages(self, chosen: Filter) -> None:
        view, cursor = TaskView(self.messages), None
        with self.engine.connect() as connection:
            for _ in range(2):
                cursor = view.page(connection, chosen, 50, cursor).next

    def _find(self, wanted: dict[str, Any]) -> None:
        with self.engine.connect() as connection:
            page = self.messages.find(connection, **wanted)
            if page.next is not None:
                self.messages.find(connection, **wanted, after=page.next)


class _Channel:
    """Take notices."""

    def send(self, notice: Notice) -> None: ...


def _nothing() -> None: ...


def _subscriber(session: Session, ctx: TaskContext) -> None: ...
