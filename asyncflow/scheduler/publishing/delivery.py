"""From tasks to outcomes: records made, built where they must be, and published in waves that keep each key's order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from operator import attrgetter
from typing import Any, cast

from asyncflow.errors import PublisherError
from asyncflow.events import PublisherFailed, TasksPublished
from asyncflow.leash import Leash, may_go_on
from asyncflow.outbox import Task
from asyncflow.outbox.declarations.outbox_hooks import StandingAround
from asyncflow.outbox.payload import JSON
from asyncflow.outbox.task import ALGORITHM
from asyncflow.scheduler.connections.calls import Patience
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.publishing.builder import Body, Site, build
from asyncflow.scheduler.publishing.ciphers import Ciphers
from asyncflow.scheduler.publishing.delivering import Delivering
from asyncflow.scheduler.publishing.envelope import Envelope, are_plain
from asyncflow.scheduler.publishing.event_envelope import EventEnvelope, envelope_of
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Record, Rejected, Retry, Sent, Unavailable
from asyncflow.scheduler.publishing.route import Route
from asyncflow.scheduler.publishing.waves import NO_LEASE, LaterWaves, Waves
from asyncflow.text import a_type_of, shown, told

RecordOrOutcome = Record | Outcome

_NOTHING_BUT_RECORDS = {Record}
_MOST_TURN_SECONDS = 5.0  # that are waited while others publish: then the shards are let go, and fetched anew
_type_of = attrgetter("task_type")  # a getter in C takes a fifth of what an expression takes, for each row


class Delivery:
    """Deliver the tasks of one destination; lives as long as its relay, used by its thread alone.

    Of an ordered type no task of a key is handed to the publisher before the one ahead of it was acknowledged: a
    client that gives up on a record would otherwise leave a gap that a later one passes.
    """

    def __init__(self, instance: Instance, route: Route) -> None:
        self.route = route
        self._types = instance.outbox.task_types
        self._site = Site(instance.engine, instance.outbox.max_message_bytes, instance.hooks, Patience())
        self._ciphers, self._encrypts = Ciphers(instance.outbox), bool(instance.outbox.encryption)
        self._breakers = route.breakers
        self._hooks = instance.hooks
        self._wrapping = instance.outbox.hooks
        self._envelopes: dict[str, Envelope | EventEnvelope] = {}
        self._asked_at: float | None = None  # for a turn, first, by the monotonic clock; None since it had one
        self.seconds_a_wave: float | None = None  # after the first of the last delivery; None if there was no other

    def deliver(
        self,
        tasks: Sequence[Task],
        lasts: Callable[[], bool] = lambda: True,
        joining: Callable[[Waves], Sequence[Task]] | None = None,
    ) -> Sequence[Outcome | None]:
        """Return one outcome for each task, in order; None for one that waits behind another of its key.

        ``joining`` is asked between two waves who else goes along; their outcomes follow those of the tasks.

        Whether the hold of their shards ``lasts`` is asked before each wave but the first, and before that as well if
        it had to wait for its turn. One that was not sent, as it does not or the round took too long, is Unavailable.
        """
        self.seconds_a_wave = None
        names = set(map(_type_of, tasks))
        prepared = self._prepare(tasks, names)
        if not any(self._types[name].ordered for name in names):
            return self._publish_wave(prepared, lasts)
        waves, later = Waves(tasks, self._types), LaterWaves(lasts)
        while waves.places:
            waves.take_in(self._publish_wave([prepared[place] for place in waves.places], lasts))
            if waves.places and joining is not None and (more := joining(waves)):
                prepared = [*prepared, *self._prepare(more, set(map(_type_of, more)))]
                waves.join(more)
            if waves.places and (reason := later.why_none()):  # asked last: to look who joins took its time
                waves.end(Unavailable(reason))
        self.seconds_a_wave = later.seconds_each()
        return waves.outcomes

    # -- preparing ---------------------------------------------------------------------------------------

    def _prepare(self, tasks: Sequence[Task], names: Set[str]) -> Sequence[RecordOrOutcome]:
        """Wrap each task, of types of these names, into its record, or tell why there is none."""
        if len(names) == 1:
            (name,) = names
            return self._prepare_type(name, tasks)
        places: dict[str, list[int]] = {name: [] for name in names}
        for place, task in enumerate(tasks):
            places[task.task_type].append(place)
        prepared: dict[int, RecordOrOutcome] = {}
        for name, its in places.items():
            prepared |= zip(its, self._prepare_type(name, [tasks[place] for place in its]), strict=True)
        return [prepared[place] for place in range(len(tasks))]

    def _prepare_type(self, name: str, tasks: Sequence[Task]) -> Sequence[RecordOrOutcome]:
        if self._types[name].builder is not None:
            return self._build(name, tasks)  # one call for all of a type
        if are_plain(tasks) and not (self._encrypts and self._ciphers.goes_encrypted(self._types[name])):
            with suppress(Exception):  # one that cannot be wrapped holds up none of the others: each by itself
                return self._envelope(name).wrap_plain(tasks)
        return list(map(self._wrapped, tasks))

    def _build(self, name: str, tasks: Sequence[Task]) -> list[RecordOrOutcome]:
        payloads = build(self._site, self._types[name], tasks)
        return [
            self._wrap_body(task, *payload) if isinstance(payload, Body) else payload
            for task, payload in zip(tasks, payloads, strict=True)
        ]

    def _wrapped(self, task: Task) -> RecordOrOutcome:
        if task.payload is None:
            return Retry(f"there is no builder for {task.task_type!r} in this process, and no payload")
        return self._wrap_body(task, task.payload)

    def _wrap_body(self, task: Task, payload: bytes, content_type: str = JSON) -> RecordOrOutcome:
        if not self._encrypts and ALGORITHM not in (task.headers_json or ""):
            return self._wrap(task, payload, content_type)
        sent = self._ciphers.as_sent(task, self._types[task.task_type], payload)
        return self._wrap(sent, sent.payload or b"", content_type) if isinstance(sent, Task) else sent

    def _wrap(self, task: Task, payload: bytes, content_type: str = JSON) -> RecordOrOutcome:
        try:
            return self._envelope(task.task_type).wrap(task, payload, content_type)
        except Exception as error:  # noqa: BLE001 - a row that somebody spoilt must not hold up the others
            return Rejected(f"the row's headers or key cannot be read: {error}")

    def _envelope(self, name: str) -> Envelope | EventEnvelope:
        if name not in self._envelopes:
            self._envelopes[name] = envelope_of(self._types[name], self.route.publisher)
        return self._envelopes[name]

    # -- publishing --------------------------------------------------------------------------------------

    def _publish_wave(self, prepared: Sequence[RecordOrOutcome], lasts: Callable[[], bool]) -> Sequence[Outcome]:
        if set(map(type, prepared)) == _NOTHING_BUT_RECORDS:
            return self._publish_in_turn(cast(Sequence[Record], prepared), lasts)
        records = [record for record in prepared if isinstance(record, Record)]
        outcomes = self._publish_in_turn(records, lasts) if records else ()
        published = iter(outcomes)
        return [next(published) if isinstance(record, Record) else record for record in prepared]

    def _publish_in_turn(self, records: Sequence[Record], lasts: Callable[[], bool]) -> Sequence[Outcome]:
        """Publish when it is this relay's turn, where several share the publisher; see what has become shut since."""
        turn = self.route.turn
        if turn is None:
            return self._publish_at_once(records)
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        if not turn.acquire(_MOST_TURN_SECONDS, self._asked_at):
            return [Unavailable("not sent, for others were publishing there all the time")] * len(records)
        self._asked_at = None
        try:
            if not lasts():  # another instance may have them in hand by now
                return [Unavailable(NO_LEASE)] * len(records)
            if self._breakers.seconds_until_probe() > 0:
                return [Unavailable("not sent, for the destination did not answer others")] * len(records)
            return self._publish_at_once(records)
        finally:
            turn.release()

    def _publish_at_once(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Publish in one batch what is under no suspicion, and then each topic that is apart by itself.

        One that fails may have taken long, so it is the last of this wave: what else is apart comes in the next.
        """
        apart = self._breakers.apart(records)
        if not apart:
            return self._publish_and_tell(records)
        together = [place for place, record in enumerate(records) if record.topic not in apart]
        outcomes: list[Outcome] = [Unavailable("not sent, for another topic did not answer")] * len(records)
        self._publish_places(records, together, outcomes)
        for topic in dict.fromkeys(record.topic for record in records if record.topic in apart):
            places = [place for place, record in enumerate(records) if record.topic == topic]
            is_shut = self._breakers.seconds_until_probe(topic) > 0
            if self._breakers.is_open or not (is_shut or self._publish_topic(topic, records, places, outcomes)):
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
        outcomes = self._publish_within(records) if self._wrapping.around_delivery else self._publish(records)
        seconds = time.perf_counter() - began
        sent = outcomes.count(SENT)
        self._hooks.emit(TasksPublished(self.route.destination, len(records), sent, seconds))
        self._breakers.report(records, outcomes, seconds)
        return outcomes

    def _publish_within(self, records: Sequence[Record]) -> Sequence[Outcome]:
        delivering = Delivering.of(self.route, records)
        with StandingAround(self._wrapping.around_delivery, delivering):
            delivering.outcomes = outcomes = self._publish(records)
        return outcomes

    def _publish(self, records: Sequence[Record]) -> Sequence[Outcome]:
        try:
            with Leash():
                outcomes = self.route.publisher.publish(records)
            _require_outcomes(self.route.destination, outcomes, records)
            return outcomes if outcomes.count(SENT) == len(records) else list(map(_in_words, outcomes))
        except BaseException as error:  # a record that breaks the client must not hold up the others
            if not may_go_on(error):
                raise
            self._hooks.emit(PublisherFailed(self.route.destination, len(records), error))
            if len(records) == 1:
                return [Retry(told(error))]
            return [self._publish([record])[0] for record in records]


def _require_outcomes(destination: str, outcomes: Sequence[Outcome], records: Sequence[Record]) -> None:
    if not isinstance(outcomes, Sequence):
        raise PublisherError(
            f"the publisher of {destination!r} returned {a_type_of(outcomes)} for {len(records)} records; "
            f"return a list, with one of Sent, Retry, Unavailable and Rejected for each, in order"
        )
    if len(outcomes) == len(records) == outcomes.count(SENT):
        return
    if len(outcomes) != len(records) or not all(outcome is SENT or _is_sound(outcome) for outcome in outcomes):
        raise PublisherError(
            f"the publisher of {destination!r} returned {outcomes!r:.80} for {len(records)} records; "
            f"return one of Sent, Retry, Unavailable and Rejected for each, in order"
        )


def _is_sound(outcome: Any) -> bool:
    """Tell whether it is an outcome, and asks for a number of seconds if it asks for any."""
    return isinstance(outcome, Outcome) and isinstance(getattr(outcome, "after_seconds", 0.0), (int, float))


def _in_words(outcome: Outcome) -> Outcome:
    """Return the outcome with its error as text, as which a row keeps it."""
    if isinstance(outcome, Sent) or isinstance(outcome.error, str):
        return outcome
    error: Any = outcome.error
    return outcome._replace(error=told(error) if isinstance(error, BaseException) else shown(error))
