"""One connection to RabbitMQ, from the first record after a failure to the next failure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic
from types import ModuleType
from typing import Any

from asyncflow.integrations.rabbitmq.client_loop import ClientLoop
from asyncflow.integrations.rabbitmq.confirms import Confirms
from asyncflow.integrations.rabbitmq.connection import BLOCKED_FOR_SECONDS, AmqpConnection
from asyncflow.integrations.rabbitmq.messages import AmqpMessage, MessageMaker, mark_of
from asyncflow.integrations.rabbitmq.outcomes import (
    FOR_A_MESSAGE,
    describe_error,
    exchange_named,
    judge,
    judge_nack,
    judge_return,
)
from asyncflow.scheduler.publishing.publisher import Outcome, Record, Unavailable
from asyncflow.scheduler.publishing.sessions.client_session import ClientSession
from asyncflow.scheduler.publishing.sessions.link import END_WITHIN_SECONDS
from asyncflow.scheduler.publishing.sessions.suspects import Judgement, Suspect
from asyncflow.scheduler.publishing.sessions.texts import one_line

# A connection that was used a moment ago is not listened to before it is used again: that takes as long as a confirm.
FRESH_SECONDS = 0.1


class RabbitMQSession(ClientSession):
    """Publish through one connection until it is lost, or holds something that was reported as not sent.

    A batch is sent whole, and then its confirms are waited for. Used by its publisher's thread, which runs pika's loop
    only while it publishes; another thread may ``end`` it, and waits for its turn.
    """

    def __init__(self, library: ModuleType, parameters: list[Any], messages: MessageMaker, deadline: float) -> None:
        """Connect; raise UnreachableError, with nothing left of it."""
        super().__init__()
        self._library = library
        self._messages = messages
        self._parameters = parameters
        self._loop = ClientLoop(library)
        self._batch: dict[int, AmqpMessage] = {}
        self._confirms = Confirms(self._nacked)
        self._channel: Any = None
        self._exchanges: set[str] = set()
        self._used_at = monotonic()
        try:
            self._connection = self._connected(deadline)
        except BaseException:
            self._loop.close()
            raise

    def leave_to_parent(self) -> None:
        """Do nothing: pika ends nothing by itself."""

    def _connected(self, deadline: float) -> AmqpConnection:
        self._channel = None
        self._exchanges = {""}  # the default one cannot be looked for
        return AmqpConnection(self._library, self._loop, self._parameters, deadline)

    def _refresh(self, deadline: float) -> None:
        if self._is_stale():
            self._connection.end(END_WITHIN_SECONDS, at_once=False)
            self._connection = self._connected(deadline)

    def _is_stale(self) -> bool:
        """Tell whether the broker has ended the connection meanwhile, or is about to, as it was idle for too long."""
        idle_seconds = monotonic() - self._used_at
        if idle_seconds > FRESH_SECONDS:
            self._loop.hear()
        heartbeat = self._connection.heartbeat_seconds
        return self._connection.is_lost or 0 < heartbeat < 2 * idle_seconds

    def _interrupt(self) -> None:
        self._loop.wake()

    def _end_client(self, patience_seconds: float) -> None:
        self._connection.end(patience_seconds, at_once=bool(self._confirms.pending))
        self._loop.close()

    def _deliver(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        judgements: dict[int, Judgement] = {}
        self._batch = {}
        for place, record in enumerate(batch):
            message = self._messages.make(record)
            if isinstance(message, AmqpMessage):
                self._batch[place] = message
            else:
                judgements[place] = message
        while self._batch:
            settled = self._send(deadline)
            judgements |= settled
            self._batch = {place: message for place, message in self._batch.items() if place not in settled}
        self._used_at = monotonic()
        return [judgements[place] for place in range(len(batch))]

    def _send(self, deadline: float) -> dict[int, Judgement]:
        """Send what is left of the batch once; return what is known then of at least one."""
        if missing := self._missing(deadline):
            return missing
        channel = self._open_channel(deadline)
        if channel is None:
            return self._broken()
        self._connection.forget_trouble()  # that of a channel which has ended
        self._confirms.begin()
        for place, message in self._batch.items():
            channel.basic_publish(*message, mandatory=True)
            self._confirms.expect(place, message.mark)
        self._loop.wait(self._is_over, deadline)
        outcomes: dict[int, Judgement] = dict(self._confirms.outcomes)
        return outcomes if not self._confirms.pending else outcomes | self._broken()

    def _is_over(self) -> bool:
        blocked = self._connection.blocked_since
        is_blocked = blocked is not None and monotonic() - blocked >= BLOCKED_FOR_SECONDS
        return not self._confirms.pending or self._connection.trouble is not None or is_blocked or self._is_ending

    def _open_channel(self, deadline: float) -> Any | None:
        """Return the channel, a new one if the last has ended; None if there is none."""
        if self._channel is not None and self._channel.is_open:
            return self._channel
        channel = self._channel = self._connection.open_channel(deadline)
        if channel is None:
            return None
        self._confirms = Confirms(self._nacked)
        channel.add_on_return_callback(self._take_return)
        select = partial(channel.confirm_delivery, self._take_confirm)
        return channel if self._connection.ask(channel, select, deadline) else None

    # -- what the broker says ----------------------------------------------------------------------------

    def _take_return(self, _: Any, method: Any, properties: Any, body: bytes) -> None:
        outcome = judge_return(method.reply_code, method.reply_text, method.exchange, method.routing_key)
        self._confirms.take_return(mark_of(method.exchange, method.routing_key, properties, body), outcome)

    def _take_confirm(self, frame: Any) -> None:
        method = frame.method
        is_ack = isinstance(method, self._library.spec.Basic.Ack)
        self._confirms.take_confirm(method.delivery_tag, multiple=method.multiple, is_ack=is_ack)
        if not self._confirms.pending:
            self._loop.stop()

    def _nacked(self, place: int) -> Outcome:
        return judge_nack(self._batch[place].exchange)

    # -- what went wrong ---------------------------------------------------------------------------------

    def _missing(self, deadline: float) -> dict[int, Judgement]:
        """Look for the exchanges that nobody has looked for; return what that means for those of one that is away."""
        for exchange in dict.fromkeys(message.exchange for message in self._batch.values()):
            if exchange in self._exchanges:
                continue
            # On a channel of its own, which ends with a bad answer.
            probe = self._connection.open_channel(deadline)
            if probe is None:
                return self._broken()
            if not self._connection.ask(probe, partial(probe.exchange_declare, exchange, passive=True), deadline):
                return self._broken(exchange)
            probe.close()
            self._exchanges.add(exchange)
        return {}

    def _broken(self, exchange: str | None = None) -> dict[int, Judgement]:
        """Return what the trouble means: for those of an exchange if it is about one, else for all that are pending."""
        trouble, errors = self._connection.trouble, self._library.exceptions
        pending = self._pending()
        if isinstance(trouble, errors.ChannelClosedByBroker):
            code, text = trouble.reply_code, trouble.reply_text
            about = exchange_named(text) or exchange
            if about:
                self._exchanges.discard(about)
            named = [place for place in pending if self._batch[place].exchange == about]
            self._confirms.begin()
            return dict.fromkeys(named, judge(code, text)) if named else _suspected(pending, code, text)
        self.is_spent = True
        if isinstance(trouble, errors.ConnectionClosedByBroker) and trouble.reply_code in FOR_A_MESSAGE:
            return _suspected(pending, trouble.reply_code, trouble.reply_text)
        return dict.fromkeys(pending, Unavailable(self._why(trouble)))

    def _pending(self) -> list[int]:
        return list(self._confirms.pending.values()) or list(self._batch)

    def _why(self, trouble: BaseException | None) -> str:
        if self._is_ending:
            return "the publisher is closed"
        if self._connection.blocked_since is not None:
            return one_line("the broker blocks publishers", self._connection.blocked_for)
        return "no answer in time" if trouble is None else describe_error(trouble)


def _suspected(places: list[int], code: int, text: str) -> dict[int, Judgement]:
    """Return for each that it may be the one for which the broker closed; one alone is."""
    outcome = judge(code, text)
    return dict.fromkeys(places, outcome if len(places) == 1 else Suspect(outcome.error))
