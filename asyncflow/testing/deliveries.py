"""Messages published in a drain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asyncflow.errors import BuilderError, UndeliveredError
from asyncflow.outbox import MessageType, Outbox, Status, Task
from asyncflow.outbox.declarations.retry import is_spent
from asyncflow.outbox.payload import JSON
from asyncflow.scheduler.publishing.builder import Body, Built, encoded, failed
from asyncflow.scheduler.publishing.ciphers import Ciphers
from asyncflow.scheduler.publishing.event_envelope import envelope_of
from asyncflow.scheduler.publishing.order import retry_wait
from asyncflow.scheduler.publishing.publisher import Outcome, Publisher, Rejected, Retry, Sent, Unavailable
from asyncflow.scheduler.table.log_lines import short_error
from asyncflow.scheduler.worker.verdict import SUCCEEDED, Verdict
from asyncflow.testing.calls import Calls
from asyncflow.testing.rows import Rows, task_of
from asyncflow.text import told

if TYPE_CHECKING:
    from asyncflow.outbox.declarations.task_type import Builder


class Deliveries:
    """Publish messages one by one; lives for one drain. A destination that is away is left, and so is a key's rest."""

    def __init__(self, rows: Rows, outbox: Outbox, routes: Mapping[str, Publisher], calls: Calls) -> None:
        self.unreachable: set[str] = set()
        self._rows = rows
        self._outbox = outbox
        self._routes = routes
        self._calls = calls
        self._ciphers = Ciphers(outbox)
        self._parked: set[tuple[str, str | None]] = set()

    def deliver(self, row: Any) -> None:
        """Publish a message, and write what becomes of it as a relay would."""
        kind = self._outbox.task_types[row.task_type]
        key = (kind.name, row.task_key)
        if kind.destination in self.unreachable or (kind.ordered and key in self._parked):
            self._rows.leave(row)
            return
        if kind.coalesce and self._rows.is_superseded(row):
            self._rows.supersede(row)
            return
        if self._rows.take(row) is None:
            return
        outcome = self._outcome_of(row, kind)
        verdict = _verdict_of(outcome, kind, row)
        if isinstance(outcome, Unavailable):
            self.unreachable.add(kind.destination)
        if not isinstance(outcome, Sent) and (verdict.status is Status.PENDING or kind.when_exhausted == "block"):
            self._parked.add(key)
        error = None if isinstance(outcome, Sent) else UndeliveredError(f"{kind.name}: {outcome.error}")
        self._rows.settle(row, verdict, error)

    def _outcome_of(self, row: Any, kind: MessageType) -> Outcome:
        task = task_of(row)
        payload, content_type = task.payload, JSON
        if kind.builder is not None:
            built = self._build(row, kind, kind.builder)
            if not isinstance(built, Body):
                return built
            payload, content_type = built
        if payload is None:
            return Retry(f"there is no builder for {kind.name!r} in this process, and no payload")
        sent = self._ciphers.as_sent(task, kind, payload)
        if not isinstance(sent, Task):
            return sent
        record = envelope_of(kind, self._routes[kind.destination]).wrap(sent, sent.payload or b"", content_type)
        try:
            return self._routes[kind.destination].publish([record])[0]
        except Exception as error:  # noqa: BLE001 - of one record, as in a relay
            return Retry(told(error))

    def _build(self, row: Any, kind: MessageType, builder: Builder) -> Built:
        task = task_of(row)
        try:
            with self._calls.session() as session:
                built = list(builder(session, [task]))
            if len(built) != 1:
                raise BuilderError(f"the builder of {kind.name!r} returned {len(built)} payloads for 1 task")
        except Exception as error:  # noqa: BLE001 - of one message; it goes into the task's log
            return failed(error)
        return encoded(built[0], task, kind, self._outbox.max_message_bytes)


def _verdict_of(outcome: Outcome, kind: MessageType, row: Any) -> Verdict:
    if isinstance(outcome, Sent):
        return SUCCEEDED
    error = short_error(outcome.error)
    if isinstance(outcome, Unavailable):
        return Verdict(Status.PENDING, 0.0, error, is_spent=False)
    if isinstance(outcome, Rejected) or is_spent(row.retry_count + 1, kind.most_retries(row.max_retries)):
        return Verdict(Status.FAILED, error=error)
    return Verdict(Status.PENDING, retry_wait(kind, row.retry_count + 1, outcome), error)
