"""The circuit breakers of one destination: its own, and one for each topic that gave trouble."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from asyncflow.events import BreakerChanged, Hooks
from asyncflow.scheduler.publishing.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from asyncflow.scheduler.publishing.order import MOST_ASKED_SECONDS
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Record, Sent, Unavailable
from asyncflow.scheduler.settings import SchedulerSettings

_PAUSE_PER_SECOND_LOST = 9.0  # so that probes of a topic that lets us wait cost the others a tenth of the time
_JUST_BEFORE_SECONDS = 1.0  # an acknowledgement before a probe began: the destination was answering then


class Breakers:
    """Tell what may pass to one destination; lives as long as its relays, used by the thread whose turn it is.

    Any thread may ask how long to stay away, and for the states.

    The breaker of a topic opens for what the topic did: its client named the topic, or records of it were sent apart
    from all others and failed, right after others had been acknowledged. What else was not sent, beside what was, makes
    its topic a suspect only: a destination that stalls in mid batch leaves records of any topic behind. A suspect has
    no pause; one record of it is sent alone. If that passes, the topic is watched: its records are sent apart until
    several at once were answered, for one partition of a topic can fail alone. A batch of which nothing was sent speaks
    of the destination.
    """

    def __init__(
        self, destination: str, settings: SchedulerSettings, hooks: Hooks, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = clock
        self._destination = destination
        self._settings = settings
        self._hooks = hooks
        self.of_destination = self._made(None)
        self._of_topics: dict[str, Breaker] = {}
        self._suspects: set[str] = set()
        self._watched: dict[str, float] = {}  # topic -> its pause for each second lost, should it fail again
        self._witnesses: set[str] = set()  # topics of the last batch that was answered as a whole,
        self._witnessed_at = 0.0  # and when

    @property
    def is_probing(self) -> bool:
        """Tell whether the destination lets one task pass."""
        return self.of_destination.state == HALF_OPEN

    @property
    def is_open(self) -> bool:
        """Tell whether the destination was found unreachable, and lets nothing pass."""
        return self.of_destination.state == OPEN

    def seconds_until_probe(self, topic: str | None = None) -> float:
        """Return 0 if work may pass to the destination, or to that topic; else how long to stay away."""
        breaker = self._of_topics.get(topic) if topic is not None else self.of_destination
        return 0.0 if breaker is None or breaker.state == CLOSED else breaker.seconds_until_probe()

    def is_probing_topic(self, topic: str) -> bool:
        """Tell whether the topic lets one task pass, which is to be sent alone."""
        return topic in self._of_topics or topic in self._suspects

    def apart(self, records: Iterable[Record]) -> set[str]:
        """Return the topics of the records that are sent apart: nobody else's trouble is to be taken for theirs."""
        if not self._is_troubled:
            return set()
        known = self._of_topics.keys() | self._suspects | self._watched.keys()
        return {record.topic for record in records if record.topic in known}

    def states(self) -> dict[str, str]:
        """Return the state of the destination, under its name, and of each topic that is not closed."""
        topics = {f"{self._destination}/{topic}": breaker.state for topic, breaker in list(self._of_topics.items())}
        return {self._destination: self.of_destination.state, **topics}

    def report(self, records: Sequence[Record], outcomes: Sequence[Outcome], seconds: float) -> None:
        """Take in what became of a batch, which took ``seconds``."""
        troubles = _troubles(records, outcomes)
        if not troubles:
            topics = {record.topic for record in records} if self._is_troubled else set()
            self._witnesses, self._witnessed_at = topics, self.clock()
            self._answered(topics, len(records))
            return
        named = {topic for topic, trouble in troubles.items() if trouble.is_of_topic}
        guilty = self._guilty(records, seconds) - named
        if guilty or named or any(isinstance(outcome, Sent) for outcome in outcomes):
            self._blame_topics(records, troubles, named, guilty, seconds)
        else:
            longest = max(troubles.values(), key=lambda trouble: trouble.after_seconds)
            self.of_destination.unavailable(longest.error, _asked_by(longest))

    @property
    def _is_troubled(self) -> bool:
        return bool(self._of_topics or self._suspects or self._watched)

    def _guilty(self, records: Sequence[Record], seconds: float) -> set[str]:
        """Return the topic if the batch was of one that was sent apart, unless it may be the destination's fault."""
        (topic, *others) = {record.topic for record in records}
        if others:
            return set()
        if topic in self._of_topics:
            return {topic}  # known to fail: that it does tells nothing new of the destination
        is_tried = topic in self._suspects or topic in self._watched
        return {topic} if is_tried and self._others_answered(topic, seconds) else set()

    def _others_answered(self, topic: str, seconds: float) -> bool:
        """Tell whether others were acknowledged just before a batch of the topic, which took ``seconds``."""
        was_just_before = self.clock() - seconds - self._witnessed_at <= _JUST_BEFORE_SECONDS
        return was_just_before and bool(self._witnesses - {topic})

    def _blame_topics(
        self,
        records: Sequence[Record],
        troubles: Mapping[str, Unavailable],
        named: set[str],
        guilty: set[str],
        seconds: float,
    ) -> None:
        answered = {record.topic for record in records} - troubles.keys()
        if not guilty:
            self._answered(answered, len(records))
        for topic in named:
            self._open(topic, troubles[topic], seconds * _PAUSE_PER_SECOND_LOST if named == troubles.keys() else 0.0)
        for topic in guilty:
            self._open(topic, troubles[topic], seconds * self._pause_per_second_lost(topic, seconds))
        self._suspects |= troubles.keys() - self._of_topics.keys()

    def _pause_per_second_lost(self, topic: str, seconds: float) -> float:
        """Return what one second that a topic apart has lost costs it; without others nobody has lost any.

        The destination may have begun to stall in that very moment, so the first pause of a topic is a short one.
        """
        if not self._others_answered(topic, seconds):
            return 0.0
        return _PAUSE_PER_SECOND_LOST if topic in self._of_topics else self._watched.get(topic, 1.0)

    def _answered(self, topics: set[str], records: int) -> None:
        """Close the breaker of the destination and of these topics, which a batch of so many records is about."""
        if self.of_destination.state != CLOSED:
            self.of_destination.available()
        if records > 1:
            for topic in self._watched.keys() & topics:
                del self._watched[topic]
        for topic in self._suspects & topics:
            self._suspects.discard(topic)
            self._watched[topic] = 1.0
        for topic in self._of_topics.keys() & topics:
            self._of_topics.pop(topic).available()
            self._watched[topic] = _PAUSE_PER_SECOND_LOST

    def _open(self, topic: str, trouble: Unavailable, at_least_seconds: float) -> None:
        self._suspects.discard(topic)
        self._watched.pop(topic, None)
        breaker = self._of_topics.setdefault(topic, self._made(topic))
        breaker.unavailable(trouble.error, max(at_least_seconds, _asked_by(trouble)))

    def _made(self, topic: str | None) -> Breaker:
        settings = self._settings

        def tell(state: str, retry_in_seconds: float, error: str) -> None:
            self._hooks.emit(BreakerChanged(self._destination, state, retry_in_seconds, error, topic))

        return Breaker(tell, settings.breaker_pause_seconds, settings.max_breaker_pause_seconds, lambda: self.clock())


def _asked_by(trouble: Unavailable) -> float:
    return min(trouble.after_seconds, MOST_ASKED_SECONDS)


def _troubles(records: Sequence[Record], outcomes: Sequence[Outcome]) -> dict[str, Unavailable]:
    """Return what was told of each topic of which something could not be sent, by name if it was told so of any."""
    troubles: dict[str, Unavailable] = {}
    if outcomes.count(SENT) == len(outcomes):
        return troubles
    for record, outcome in zip(records, outcomes, strict=True):
        if isinstance(outcome, Unavailable) and (outcome.is_of_topic or record.topic not in troubles):
            troubles[record.topic] = outcome
    return troubles
