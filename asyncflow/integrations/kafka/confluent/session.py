"""One librdkafka client, from the first record after a failure to the next failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from types import ModuleType
from typing import Any

from asyncflow.integrations.kafka.client_log import ClientLog
from asyncflow.integrations.kafka.confluent.outcomes import TOPIC_REFUSED, WITHDRAWN, describe, judge, judge_reported
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Record, Unavailable
from asyncflow.scheduler.publishing.sessions.client_session import ClientSession
from asyncflow.scheduler.publishing.sessions.suspects import Judgement
from asyncflow.scheduler.publishing.sessions.texts import one_line

# How long a lost connection may take to come back before the batch is given up: a reconnect takes
# milliseconds.
RECONNECT_WITHIN_SECONDS = 1.0
LOOK_EVERY_SECONDS = 0.1
PURGED_WITHIN_SECONDS = 2.0

OnDelivery = Callable[[Any, Any], None]


class ConfluentSession(ClientSession):
    """Hold a client until it is no longer to be trusted; then it is ended and another one made.

    ``is_spent`` becomes true when records had to be taken back, when librdkafka reported a fatal error, and when a
    topic was refused: such a client might still deliver a record of which we said otherwise, or go on refusing.

    librdkafka calls back from within ``poll`` and ``flush``, on its publisher's thread; another thread may ``end`` it,
    which takes back what is not acknowledged.
    """

    def __init__(self, library: ModuleType, configuration: Mapping[str, object]) -> None:
        super().__init__()
        self._library = library
        self._findings: list[Judgement] = []
        self._notes: list[OnDelivery] = []
        self._verdict: Outcome | None = None
        self._trouble = ""
        self._down_at: float | None = None
        self._client = library.Producer({**configuration, "error_cb": self._hear, "logger": ClientLog()})

    def leave_to_parent(self) -> None:
        """Do nothing: librdkafka ends a client when it is collected, and this one is kept."""

    def _deliver(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        self._findings = [SENT] * len(batch)
        self._serve(self._client.poll, 0.0)  # hear what happened while idle
        if self._down_at is not None:
            self._down_at = monotonic()
        self._hand_over(batch, deadline)
        self._settle(len(batch), deadline)
        return self._findings

    def _interrupt(self) -> None:
        """Do nothing: ``_deliver`` looks ten times a second whether it is to end."""

    def _end_client(self, patience_seconds: float) -> None:
        self._client.purge()
        self._serve(self._client.flush, patience_seconds)
        self._client.close()

    def _settle(self, pending: int, deadline: float) -> None:
        """Let reports through until every record has an outcome, or is taken back."""
        while left := self._serve(self._client.flush, LOOK_EVERY_SECONDS):
            if left < pending:
                self._down_at = None  # librdkafka does not tell when a connection is back; acknowledgements do
            if self._is_hopeless(deadline):
                self._take_back()
                return
            pending = min(pending, left)  # what is left counts reports of other things, too
        self._down_at = None

    def _hand_over(self, batch: Sequence[Record], deadline: float) -> None:
        # The hot path: the callback of each place in a batch is made once, and called for errors only.
        self._notes += [partial(self._note, index) for index in range(len(self._notes), len(batch))]
        produce = self._client.produce
        for record, note in zip(batch, self._notes, strict=False):
            topic, key, value, headers = record
            try:
                # librdkafka's binding takes a list, and no other sequence.
                produce(topic, value, key, -1, note, headers=list(headers))
            except BufferError:
                self._wait_for_room(record, note, deadline)
            except self._library.KafkaException as error:
                note(error.args[0], None)

    def _wait_for_room(self, record: Record, note: OnDelivery, deadline: float) -> None:
        """Let reports through until the client's queue takes the record, or nothing is to be hoped for."""
        while not self._is_hopeless(deadline):
            self._serve(self._client.poll, LOOK_EVERY_SECONDS)
            try:
                self._client.produce(record.topic, record.value, record.key, -1, note, headers=list(record.headers))
            except BufferError:
                continue
            except self._library.KafkaException as error:
                note(error.args[0], None)
            return
        note(self._library.KafkaError(self._library.KafkaError._TIMED_OUT_QUEUE), None)

    def _note(self, index: int, error: Any, message: Any) -> None:
        """Write what became of the record at ``index``; librdkafka calls it, with a message, while we poll or flush."""
        if message is None:
            self._findings[index] = judge(error)
        elif self._verdict is not None and error.name() in WITHDRAWN:
            self._findings[index] = self._verdict
        else:
            self._findings[index] = judge_reported(error)
            self.is_spent |= error.name() in TOPIC_REFUSED

    def _hear(self, error: Any) -> None:
        """Remember what librdkafka says about the connection as a whole."""
        if error.name() == "_ALL_BROKERS_DOWN":
            self._down_at = self._down_at or monotonic()  # it is said again every second
        else:
            self._trouble = describe(error)

    def _serve(self, wait: Callable[[float], int], seconds: float) -> int:
        """Let the client call back, by poll or flush; return how many records and reports are left."""
        try:
            wait(seconds)
        except self._library.KafkaException as error:
            # So the binding tells of a fatal error, whatever callback it was given.
            self.is_spent = True
            self._verdict = judge(error.args[0])
        return len(self._client)

    def _is_hopeless(self, deadline: float) -> bool:
        now = monotonic()
        is_down = self._down_at is not None and now - self._down_at > RECONNECT_WITHIN_SECONDS
        return self._verdict is not None or is_down or self._is_ending or now >= deadline

    def _take_back(self) -> None:
        """Withdraw what has no outcome yet; a record of which nothing is heard is never taken for sent."""
        self.is_spent = True
        why = "no answer before the publisher was closed" if self._is_ending else "no answer in time"
        self._verdict = self._verdict or Unavailable(one_line(why, self._trouble))
        self._client.purge()
        if self._serve(self._client.flush, PURGED_WITHIN_SECONDS):
            self._findings = [self._verdict if outcome is SENT else outcome for outcome in self._findings]
