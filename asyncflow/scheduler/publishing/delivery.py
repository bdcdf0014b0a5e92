"""From tasks to outcomes: records made, built where they must be, and published in waves that keep each key's order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from sqlalchemy import Engine

from asyncflow.errors import PublisherError
from asyncflow.events import Hooks, TasksPublished
from asyncflow.leash import Leash
from asyncflow.outbox import Outbox, Task
from asyncflow.outbox.payload import JSON
from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.publishing.builder import Body, build
from asyncflow.scheduler.publishing.envelope import Envelope
from asyncflow.scheduler.publishing.order import Key, goes_on
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Publisher, Record, Rejected, Retry, Unavailable

Prepared = Record | Outcome


class Delivery:
    """Deliver the tasks of one destination; lives as long as its relay, used by its thread alone.

    Of an ordered type no task of a key is handed to the publisher before the one ahead of it was acknowledged: a
    client that gives up on a record would otherwise leave a gap that a later one passes.
    """

    def __init__(
        self, destination: str, publisher: Publisher, outbox: Outbox, engine: Engine, breakers: Breakers, hooks: Hooks
    ) -> None:
        self.publisher = publisher
        self._destination = destination
        self._outbox = outbox
        self._engine = engine
        self._breakers = breakers
        self._hooks = hooks
        self._envelopes: dict[str, Envelope] = {}

    def deliver(self, tasks: Sequence[Task], may_go_on: Callable[[], bool] = lambda: True) -> Sequence[Outcome | None]:
        """Return one outcome for each task, in order; None for one that waits behind another of its key.

        ``may_go_on`` is asked before each wave but the first.
        """
        prepared = self._prepare(tasks)
        if not any(self._outbox.task_types[name].ordered for name in {task.task_type for task in tasks}):
            return self._publish_wave(prepared)
        outcomes: list[Outcome | None] = [None] * len(tasks)
        wave, lines = self._lines(tasks)
        while wave:
            for index, outcome in zip(wave, self._publish_wave([prepared[index] for index in wave]), strict=True):
                outcomes[index] = outcome
            wave = [line[0] for line in lines if self._moves_up(line, tasks, outcomes)]
            lines = [line for line in lines if line]
            if wave and not may_go_on():
                # Another instance may have them in hand by now. Nothing is written of those that were not sent.
                for index in (index for line in lines for index in line):
                    outcomes[index] = Unavailable("the lease on the shard ran out")
                break
        return outcomes

    def _lines(self, tasks: Sequence[Task]) -> tuple[list[int], list[deque[int]]]:
        """Return the places of the first wave: what has no order, and the first of each key; and who stands behind."""
        first: list[int] = []
        lines: dict[Key, deque[int]] = {}
        for index, task in enumerate(tasks):
            if not self._outbox.task_types[task.task_type].ordered:
                first.append(index)
            else:
                lines.setdefault(Key(task.task_type, task.key or ""), deque()).append(index)
        # The one ahead stays at the front of its line until its outcome is known.
        first += [line[0] for line in lines.values()]
        return first, list(lines.values())

    def _moves_up(self, line: deque[int], tasks: Sequence[Task], outcomes: list[Outcome | None]) -> bool:
        """Let the one behind follow if the one ahead made way; else it and all others of the line wait."""
        ahead = line.popleft()
        outcome = outcomes[ahead]
        assert outcome is not None
        if line and goes_on(tasks[ahead], outcome, self._outbox.task_types[tasks[ahead].task_type].when_exhausted):
            return True
        if isinstance(outcome, Unavailable):
            for index in line:
                outcomes[index] = outcome
        line.clear()
        return False

    # -- preparing ---------------------------------------------------------------------------------------

    def _prepare(self, tasks: Sequence[Task]) -> list[Prepared]:
        """Wrap each task into its record, or tell why there is none."""
        to_build: dict[str, list[int]] = {}
        prepared: list[Prepared] = []
        for index, task in enumerate(tasks):
            name, payload = task.task_type, task.payload
            if self._outbox.task_types[name].builder is not None:
                to_build.setdefault(name, []).append(index)
                prepared.append(Retry("not built"))
            elif payload is None:
                prepared.append(Retry(f"there is no builder for {name!r} in this process, and no payload"))
            else:
                prepared.append(self._wrap(task, payload))
        for name, indexes in to_build.items():
            self._build(name, [tasks[index] for index in indexes], indexes, prepared)
        return prepared

    def _build(self, name: str, tasks: list[Task], indexes: list[int], prepared: list[Prepared]) -> None:
        built = build(self._engine, self._outbox.task_types[name], tasks, self._outbox.max_message_bytes)
        for index, task, payload in zip(indexes, tasks, built, strict=True):
            prepared[index] = self._wrap(task, *payload) if isinstance(payload, Body) else payload

    def _wrap(self, task: Task, payload: bytes, content_type: str = JSON) -> Prepared:
        try:
            return self._envelope(task.task_type).wrap(task, payload, content_type)
        except Exception as error:  # noqa: BLE001 - a row that somebody spoilt must not hold up the others
            return Rejected(f"the row's headers or key cannot be read: {error}")

    def _envelope(self, name: str) -> Envelope:
        if name not in self._envelopes:
            self._envelopes[name] = Envelope(self._outbox.task_types[name])
        return self._envelopes[name]

    # -- publishing --------------------------------------------------------------------------------------

    def _publish_wave(self, prepared: Sequence[Prepared]) -> Sequence[Outcome]:
        records = [record for record in prepared if isinstance(record, Record)]
        outcomes = self._publish_apart(records) if records else ()
        if len(records) == len(prepared):
            return outcomes
        published = iter(outcomes)
        return [next(published) if isinstance(record, Record) else record for record in prepared]

    def _publish_apart(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Publish in one batch what is under no suspicion, and then each topic that is apart by itself.

        One that fails may have taken long, so it is the last of this wave: what else is apart comes in the next.
        """
        apart = self._breakers.apart(records)
        if not apart:
            return self._publish_and_tell(records)
        places: dict[str | None, list[int]] = {None: []}
        for place, record in enumerate(records):
            places.setdefault(record.topic if record.topic in apart else None, []).append(place)
        outcomes: list[Outcome] = [Unavailable("not sent, for another topic did not answer")] * len(records)
        self._publish_places(records, places.pop(None), outcomes)
        for topic, its_places in places.items():
            assert topic is not None
            is_shut = self._breakers.seconds_until_probe(topic) > 0
            if self._breakers.is_open or not (is_shut or self._publish_topic(topic, records, its_places, outcomes)):
                break
        return outcomes

    def _publish_topic(self, topic: str, records: Sequence[Record], places: list[int], outcomes: list[Outcome]) -> bool:
        """Publish the records of one topic, first one alone if it is probed; return whether it answered."""
        first = 1 if self._breakers.is_probing_topic(topic) else 0
        self._publish_places(records, places[:first], outcomes)
        if not self._breakers.is_probing_topic(topic):
            self._publish_places(records, places[first:], outcomes)
        return not self._breakers.is_probing_topic(topic)

    def _publish_places(self, records: Sequence[Record], places: list[int], outcomes: list[Outcome]) -> None:
        if places:
            published = self._publish_and_tell([records[place] for place in places])
            for place, outcome in zip(places, published, strict=True):
                outcomes[place] = outcome

    def _publish_and_tell(self, records: Sequence[Record]) -> Sequence[Outcome]:
        began = time.perf_counter()
        outcomes = self._publish(records)
        seconds = time.perf_counter() - began
        sent = outcomes.count(SENT)
        self._hooks.emit(TasksPublished(self._destination, len(records), sent, seconds))
        self._breakers.report(records, outcomes, seconds)
        return outcomes

    def _publish(self, records: Sequence[Record]) -> Sequence[Outcome]:
        try:
            with Leash():
                outcomes = self.publisher.publish(records)
            _require_outcomes(self._destination, outcomes, records)
            return outcomes
        except Exception as error:  # noqa: BLE001 - a record that breaks the client must not hold up the others
            if len(records) == 1:
                return [Retry(f"{type(error).__name__}: {error}")]
            return [self._publish([record])[0] for record in records]


def _require_outcomes(destination: str, outcomes: Sequence[Outcome], records: Sequence[Record]) -> None:
    if len(outcomes) != len(records) or not all(
        outcome is SENT or isinstance(outcome, Outcome) for outcome in outcomes
    ):
        raise PublisherError(
            f"the publisher of {destination!r} returned {outcomes!r:.80} for {len(records)} records; "
            f"return one of Sent, Retry, Unavailable and Rejected for each, in order"
        )
