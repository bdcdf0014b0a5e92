"""One connection to NATS, from the first record after a failure to the next failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from asyncflow.integrations.nats.connection import NatsConnection
from asyncflow.integrations.nats.messages import NatsMessage, NatsMessages
from asyncflow.scheduler.publishing.publisher import Record
from asyncflow.scheduler.publishing.sessions.client_session import ClientSession
from asyncflow.scheduler.publishing.sessions.link import END_WITHIN_SECONDS
from asyncflow.scheduler.publishing.sessions.suspects import Judgement

# A connection that was used a moment ago is not listened to before it is used again.
FRESH_SECONDS = 0.1
# Nobody answers a server's PING between two batches: by default one comes every two minutes, and the third is too much.
STALE_SECONDS = 60.0


class NatsSession(ClientSession):
    """Publish through one connection until it is lost, or holds something that was reported as not sent.

    A batch is sent whole, and then its acknowledgements are waited for. Used by its publisher's thread, which runs
    nats-py's loop only while it publishes; another thread may ``end`` it, and waits for its turn.
    """

    def __init__(self, connect: Callable[[float], NatsConnection], messages: NatsMessages, deadline: float) -> None:
        """Connect; raise UnreachableError, with nothing left of it."""
        super().__init__()
        self._connect = connect
        self._messages = messages
        self._connection = connect(deadline)
        self._used_at = monotonic()

    def leave_to_parent(self) -> None:
        """Do nothing: nats-py ends nothing by itself, and its loop shares nothing with the parent's."""

    def _refresh(self, deadline: float) -> None:
        if self._is_stale():
            self._connection.end(END_WITHIN_SECONDS)
            self._has_ended = True  # until there is another
            self._connection = self._connect(deadline)
            self._has_ended = False

    def _is_stale(self) -> bool:
        """Tell whether the server has ended the connection meanwhile, or is about to, as it was idle for too long."""
        idle_seconds = monotonic() - self._used_at
        if idle_seconds > FRESH_SECONDS:
            self._connection.hear()
        return self._connection.is_lost or idle_seconds > STALE_SECONDS

    def _interrupt(self) -> None:
        self._connection.interrupt()

    def _end_client(self, patience_seconds: float) -> None:
        self._connection.end(patience_seconds)

    def _deliver(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        judgements: dict[int, Judgement] = {}
        messages: dict[int, NatsMessage] = {}
        for place, record in enumerate(batch):
            made = self._messages.make(record)
            if isinstance(made, NatsMessage):
                messages[place] = made
            else:
                judgements[place] = made
        if messages:
            judgements |= self._connection.exchange(messages, deadline)
        self.is_spent |= self._connection.is_lost or self._connection.is_in_doubt
        self._used_at = monotonic()
        return [judgements[place] for place in range(len(batch))]
