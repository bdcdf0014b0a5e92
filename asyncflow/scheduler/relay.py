"""The relay: the streaming job that carries the tasks of one destination to its publisher."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Engine

from asyncflow.errors import PublisherError
from asyncflow.outbox import Outbox, Task
from asyncflow.outbox.events import (
    Hooks,
    PageFetched,
    SettleFenced,
    TaskFailed,
    TaskRetried,
    TasksPublished,
    TasksSettled,
)
from asyncflow.outbox.payload import JSON
from asyncflow.outbox.status import Status
from asyncflow.scheduler import ownership_queries, queries
from asyncflow.scheduler.breaker import HALF_OPEN, Breaker
from asyncflow.scheduler.builder import Body, build
from asyncflow.scheduler.database import Database
from asyncflow.scheduler.envelope import Envelope
from asyncflow.scheduler.ownership import Ownership
from asyncflow.scheduler.pause import AdaptivePause, RoundSize
from asyncflow.scheduler.publisher import Outcome, Publisher, Record, Rejected, Retry, Sent, Unavailable
from asyncflow.scheduler.queries import Head
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.settlement import Settlement
from asyncflow.scheduler.unknown_types import UnknownTypes

_MOST_PAGES = 64  # in one round: more branches cost the planner more than another round costs
_LONG = 86400.0


class Relay:
    """Fetch, publish and settle round after round; lives as long as its scheduler, one thread steps it.

    No transaction is open while the publisher works. What was published and could not be settled, because the
    database went away, is settled before anything else is fetched.
    """

    def __init__(
        self,
        destination: str,
        publisher: Publisher,
        outbox: Outbox,
        engine: Engine,
        ownership: Ownership,
        settings: SchedulerSettings,
        unknown_types: UnknownTypes,
        hooks: Hooks,
    ) -> None:
        self.destination = destination
        self.breaker = Breaker(destination, settings.breaker_pause_seconds, settings.max_breaker_pause_seconds, hooks)
        self._publisher = publisher
        self._outbox = outbox
        self._database = Database(engine)
        self._ownership = ownership
        self._settings = settings
        self._unknown_types = unknown_types
        self._hooks = hooks
        self._pause = AdaptivePause(settings.min_pause_seconds, settings.max_pause_seconds)
        self._size = RoundSize(settings.round_size, settings.round_bytes)
        self._envelopes: dict[str, Envelope] = {}
        self._last_served: tuple[str, int] = ("", -1)
        self._unsettled: tuple[Settlement, dict[int, int]] | None = None

    def step(self) -> float:
        """Do one round; return the seconds until the next look, 0 after a round that found work."""
        if self._unsettled is not None:
            self._settle()
        wait = self.breaker.seconds_until_probe()
        if wait > 0:
            return wait
        epochs = dict(self._ownership.epochs())
        heads = self._heads(epochs)
        due = [head for head in heads if head.due_in_seconds <= 0]
        tasks = self._fetch(due) if due else []
        if not tasks:
            return self._pause.after_nothing(min((h.due_in_seconds for h in heads), default=_LONG))
        self._pause.reset()
        outcomes = self._deliver(tasks)
        settlement = Settlement.of(zip(tasks, outcomes, strict=True), self._outbox.task_types)
        if len(settlement):
            self._unsettled = (settlement, epochs)
            self._settle()
        return self.breaker.seconds_until_probe()

    def expect_work(self) -> None:
        """Look often again, for a commit was announced."""
        self._pause.reset()

    def close(self) -> None:
        """Give the connection back and close the publisher."""
        self._database.close()
        self._publisher.close()

    # -- fetching ----------------------------------------------------------------------------------------

    def _heads(self, epochs: dict[int, int]) -> list[Head]:
        tasks, dialect = self._outbox.tasks, self._database.dialect
        heads = self._database.run(
            lambda connection: queries.read_heads(connection, dialect, tasks, int(Status.PENDING))
        )
        mine = [head for head in heads if head.shard in epochs]
        self._unknown_types.notice(head.task_type for head in mine)
        return [head for head in mine if self._carries(head.task_type)]

    def _carries(self, name: str) -> bool:
        """Tell whether the type comes here; it may have been declared after the relay was made."""
        if name not in self._envelopes:
            task_type = self._outbox.task_types.get(name)
            if task_type is None or task_type.destination != self.destination:
                return False
            self._envelopes[name] = Envelope(task_type)
        return True

    def _fetch(self, due: list[Head]) -> list[Task]:
        began = time.perf_counter()
        served = self._in_turn(due)
        limit = max(1, (1 if self.breaker.state == HALF_OPEN else self._size.rows) // len(served))
        tasks = self._database.run(lambda connection: queries.read_pages(connection, self._outbox.tasks, served, limit))
        self._size.observe(len(tasks), sum(len(task.payload or b"") for task in tasks))
        seconds = time.perf_counter() - began
        if tasks:
            self._hooks.emit(PageFetched(self.destination, len(served), len(tasks), seconds))
        return tasks

    def _in_turn(self, due: list[Head]) -> list[Head]:
        """Return the heads whose turn it is: after those served last, round and round."""
        most = 1 if self.breaker.state == HALF_OPEN else min(_MOST_PAGES, self._size.rows)
        ordered = sorted(due)
        behind = [head for head in ordered if (head.task_type, head.shard) > self._last_served]
        turn = (behind + ordered)[: min(most, len(ordered))]
        self._last_served = (turn[-1].task_type, turn[-1].shard)
        return turn

    # -- publishing --------------------------------------------------------------------------------------

    def _deliver(self, tasks: Sequence[Task]) -> list[Outcome]:
        prepared = self._prepare(tasks)
        records = [record for record in prepared if isinstance(record, Record)]
        published = iter(self._publish_and_tell(records) if records else ())
        return [next(published) if isinstance(record, Record) else record for record in prepared]

    def _prepare(self, tasks: Sequence[Task]) -> list[Record | Outcome]:
        """Wrap each task into its record, or tell why there is none."""
        to_build: dict[str, list[int]] = {}
        prepared: list[Record | Outcome] = []
        for index, task in enumerate(tasks):
            if self._outbox.task_types[task.task_type].builder is not None:
                to_build.setdefault(task.task_type, []).append(index)
                prepared.append(Retry("not built"))
            elif task.payload is None:
                prepared.append(Retry(f"there is no builder for {task.task_type!r} in this process, and no payload"))
            else:
                prepared.append(self._wrap(task, task.payload))
        for name, indexes in to_build.items():
            self._build(name, [tasks[index] for index in indexes], indexes, prepared)
        return prepared

    def _build(self, name: str, tasks: list[Task], indexes: list[int], prepared: list[Record | Outcome]) -> None:
        task_type = self._outbox.task_types[name]
        built = build(self._database.engine, task_type, tasks, self._outbox.max_message_bytes)
        for index, task, payload in zip(indexes, tasks, built, strict=True):
            prepared[index] = self._wrap(task, *payload) if isinstance(payload, Body) else payload

    def _wrap(self, task: Task, payload: bytes, content_type: str = JSON) -> Record | Outcome:
        try:
            return self._envelopes[task.task_type].wrap(task, payload, content_type)
        except Exception as error:  # noqa: BLE001 - a row that somebody spoilt must not hold up the others
            return Rejected(f"the row's headers or key cannot be read: {error}")

    def _publish_and_tell(self, records: Sequence[Record]) -> Sequence[Outcome]:
        began = time.perf_counter()
        outcomes = self._publish(records)
        sent = sum(isinstance(outcome, Sent) for outcome in outcomes)
        seconds = time.perf_counter() - began
        self._hooks.emit(TasksPublished(self.destination, len(records), sent, seconds))
        self._report_to_breaker(outcomes)
        return outcomes

    def _publish(self, records: Sequence[Record]) -> Sequence[Outcome]:
        try:
            outcomes = self._publisher.publish(records)
            _require_outcomes(self.destination, outcomes, records)
            return outcomes
        except Exception as error:  # noqa: BLE001 - a record that breaks the client must not hold up the others
            if len(records) == 1:
                return [Retry(f"{type(error).__name__}: {error}")]
            return [self._publish([record])[0] for record in records]

    def _report_to_breaker(self, outcomes: Iterable[Outcome]) -> None:
        unavailable = next((outcome for outcome in outcomes if isinstance(outcome, Unavailable)), None)
        if unavailable is None:
            self.breaker.available()
        else:
            self.breaker.unavailable(unavailable.error)

    # -- settling ----------------------------------------------------------------------------------------

    def _settle(self) -> None:
        assert self._unsettled is not None
        settlement, epochs = self._unsettled
        began = time.perf_counter()
        written, fenced = self._database.run(lambda connection: self._write(connection, settlement, epochs))
        self._unsettled = None
        self._tell(written, time.perf_counter() - began)
        if fenced:
            self._hooks.emit(SettleFenced(self.destination, fenced))
            self._ownership.refresh()

    def _write(self, connection: Connection, settlement: Settlement, epochs: dict[int, int]) -> tuple[Settlement, int]:
        """Write the outcomes of the shards still owned in the epoch of the fetch; count the others."""
        if not self._database.dialect.locks_rows:
            connection.execute(ownership_queries.exclude_writers(self._outbox.shards))
        shards = {task.shard for task in settlement.tasks()}
        wanted = {"its_job": self._ownership.job, "shards": sorted(shards)}
        held = connection.execute(ownership_queries.hold_epochs(self._outbox.shards), wanted).all()
        owned = {row.shard for row in held if epochs[row.shard] == row.epoch}
        kept = settlement if owned == shards else settlement.keeping(lambda task: task.shard in owned)
        delete = self._settings.on_success == "delete"
        changed = kept.write(connection, self._outbox.tasks, delete_succeeded=delete)
        return kept, len(settlement) - changed

    def _tell(self, settled: Settlement, seconds: float) -> None:
        for (delay, error), tasks in settled.retried.items():
            for task in tasks:
                self._hooks.emit(TaskRetried(task.id, task.task_type, task.retry_count + 1, delay, error))
        for error, tasks in settled.failed.items():
            for task in tasks:
                self._hooks.emit(TaskFailed(task.id, task.task_type, task.retry_count, error))
        counts = len(settled.succeeded), settled.count(settled.retried), settled.count(settled.failed)
        self._hooks.emit(TasksSettled(self.destination, *counts, seconds))


def _require_outcomes(destination: str, outcomes: Sequence[Outcome], records: Sequence[Record]) -> None:
    if len(outcomes) != len(records) or not all(isinstance(outcome, Outcome) for outcome in outcomes):
        raise PublisherError(
            f"the publisher of {destination!r} returned {outcomes!r:.80} for {len(records)} records; "
            f"return one of Sent, Retry, Unavailable and Rejected for each, in order"
        )
