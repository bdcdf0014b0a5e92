"""A consumer's connection to a proxy: messages and signs of life have threads, so both go on while a handler works."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from time import monotonic
from typing import Any

from asyncflow.consuming.arrivals import Arrivals
from asyncflow.consuming.delivered import Delivered
from asyncflow.errors import UnreachableError
from asyncflow.integrations.rocketmq.consuming.deliveries import delivery_of
from asyncflow.integrations.rocketmq.consuming.pull import TopicPull, told
from asyncflow.integrations.rocketmq.consuming.questions import GIVEN_BACK_SECONDS, Questions
from asyncflow.integrations.rocketmq.consuming.receipts import Receipt, Receipts
from asyncflow.integrations.rocketmq.outcomes import OK, describe, status_name
from asyncflow.integrations.rocketmq.proxies import Proxies
from asyncflow.scheduler.publishing.sessions.texts import one_line

_BEAT_SECONDS = 10.0
_SIGNS = 3  # of life, within the time after which one is dead
_ANSWER_WITHIN_SECONDS = 10.0
_END_WITHIN_SECONDS = 10.0


class RocketMQClient:
    """Hold one channel. The consumer's thread calls; what is given back, kept and acknowledged is known by receipts."""

    def __init__(self, proxies: Proxies, questions: Questions, topics: Collection[str], deadline: float) -> None:
        """Connect, and tell the proxy who is there; raise UnreachableError if not by ``deadline`` (monotonic)."""
        self._proxies = proxies
        self._questions = questions
        self._client_id: str = questions.client.rocketmq.v5.util.ClientId().client_id
        self._arrivals = Arrivals()
        self._receipts = Receipts()
        self._is_closing = threading.Event()
        self._is_known = threading.Event()
        self._channel = proxies.connect(deadline)
        self._stub: Any = questions.client.protocol.MessagingServiceStub(self._channel)
        self._commands = self._stub.Telemetry(self._said(topics), metadata=self._signed())
        self._pulls: list[TopicPull] = []
        self._threads = [self._thread(work) for work in (self._hear, self._give_signs)]
        if not self._is_known.wait(max(0.0, deadline - monotonic())) or self._arrivals.fault is not None:
            self._end()
            raise self._arrivals.fault or UnreachableError("the proxy did not take this client in time")
        self._pulls = [TopicPull(topic, self._receive, self._take_in, self._fail) for topic in topics]

    def take(self, most: int, seconds: float) -> Sequence[Delivered]:
        """Return some messages, none if none come in time; raises UnreachableError once the connection is lost."""
        self.require_living()
        room = self._arrivals.room(most)
        for pull in self._pulls:
            pull.ask(min(room, max(1, room // len(self._pulls))))
        found = self._arrivals.take(most, seconds)
        self.require_living()
        return found

    def acknowledge(self, delivery: Delivered) -> None:
        """Let the group forget a message; raises UnreachableError once the connection is lost."""
        self.require_living()
        for receipt in self._receipts.release(delivery.handle):
            with receipt.lock:
                receipt.finish()
                question = self._questions.acknowledgement(receipt.topic, receipt.message_id, receipt.handle)
                self._ask(self._stub.AckMessage, question)  # one that came too late brings the message again

    def require_living(self) -> None:
        """Raise UnreachableError once the connection is lost."""
        if (fault := self._arrivals.fault) is not None:
            raise UnreachableError(str(fault)) from fault

    def close(self, left: Sequence[Delivered]) -> None:
        """Let others take what is left, soon, and end the connection."""
        self._is_closing.set()
        for pull in self._pulls:
            pull.end(_END_WITHIN_SECONDS)
        try:
            if self._arrivals.fault is None:
                for receipt in self._receipts.all():
                    self._keep(receipt, GIVEN_BACK_SECONDS)
                self._ask(self._stub.NotifyClientTermination, self._questions.farewell())
        finally:
            self._end()

    def _end(self) -> None:
        self._is_closing.set()
        for pull in self._pulls:
            pull.end(0.0)
        self._commands.cancel()
        self._channel.close()
        for thread in self._threads:
            thread.join(_END_WITHIN_SECONDS)

    # -- what it asks ----------------------------------------------------------------------------------------

    def _ask(self, method: Any, question: Any) -> Any:
        try:
            return method(question, timeout=_ANSWER_WITHIN_SECONDS, metadata=self._signed())
        except self._questions.client.grpc.RpcError as error:
            fault = UnreachableError(describe(error))
            self._fail(fault)
            raise fault from error

    def _keep(self, receipt: Receipt, seconds: float) -> None:
        """Let a message stay with us for so long; one that does not any more comes again, and is kept no longer."""
        with receipt.lock:
            if receipt.is_done:
                return
            question = self._questions.keeping(receipt.topic, receipt.message_id, receipt.handle, seconds)
            answer = self._ask(self._stub.ChangeInvisibleDuration, question)
            if status_name(answer.status) == OK:
                receipt.extend(answer.receipt_handle)
            else:
                self._receipts.remove(receipt)

    def _receive(self, topic: str, count: int, seconds: float) -> Any:
        return self._stub.ReceiveMessage(
            self._questions.messages(topic, count), timeout=seconds, metadata=self._signed()
        )

    def _signed(self) -> list[tuple[str, str]]:
        return self._proxies.signed(self._client_id)

    # -- what it hears, on other threads -----------------------------------------------------------------------

    def _take_in(self, message: Any) -> None:
        delivery = delivery_of(self._questions.client, message)
        if self._receipts.add(delivery.handle):
            self._arrivals.add(delivery)

    def _fail(self, error: BaseException) -> None:
        self._arrivals.end(told(error))
        self._is_known.set()

    def _said(self, topics: Collection[str]) -> Iterator[Any]:
        """Yield what the proxy is told, and keep the stream open, whose end would mean that we are gone."""
        yield self._questions.settings(topics)
        self._is_closing.wait()

    def _hear(self) -> None:
        for command in self._commands:
            if command.HasField("settings"):
                name = status_name(command.status)
                if name != OK:
                    raise UnreachableError(one_line(name, command.status.message))
                self._ask(self._stub.Heartbeat, self._questions.sign_of_life())
                self._is_known.set()
        raise UnreachableError("the proxy has ended the connection")

    def _give_signs(self) -> None:
        often = self._questions.dead_after_seconds / _SIGNS
        keep_at = monotonic() + often
        while not self._is_closing.wait(min(_BEAT_SECONDS, often)):
            self._ask(self._stub.Heartbeat, self._questions.sign_of_life())
            if monotonic() >= keep_at:
                keep_at = monotonic() + often
                for receipt in self._receipts.all():
                    self._keep(receipt, self._questions.dead_after_seconds)

    def _thread(self, work: Callable[[], None]) -> threading.Thread:
        def until_it_fails() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - raised on the consumer's thread
                self._fail(error)

        thread = threading.Thread(target=until_it_fails, name="asyncflow-rocketmq-consumer", daemon=True)
        thread.start()
        return thread
