"""One connection to a proxy, from the first record after a failure to the next failure."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from asyncflow.integrations.rocketmq.extras import Client
from asyncflow.integrations.rocketmq.lanes import Lanes
from asyncflow.integrations.rocketmq.messages import GroupedMessage, RocketMQMessages
from asyncflow.integrations.rocketmq.outcomes import judge_all, status_name, unreached
from asyncflow.integrations.rocketmq.proxies import Proxies
from asyncflow.integrations.rocketmq.settings import RocketMQSettings
from asyncflow.scheduler.publishing.publisher import Outcome, Record, Unavailable
from asyncflow.scheduler.publishing.sessions.client_session import ClientSession
from asyncflow.scheduler.publishing.sessions.suspects import Judgement

# Beyond its deadline: until gRPC tells that a request has passed it.
GIVEN_UP_WITHIN_SECONDS = 1.0


class RocketMQSession(ClientSession):
    """Publish through one channel until a request goes unanswered.

    Many requests are on their way at once, of a key one. Their ends are told by gRPC's thread, and waited for by the
    publisher's; another thread may ``end`` it.
    """

    def __init__(
        self, client: Client, proxies: Proxies, messages: RocketMQMessages, settings: RocketMQSettings, deadline: float
    ) -> None:
        """Connect; raise UnreachableError, with nothing left of it."""
        super().__init__()
        self._client = client
        self._proxies = proxies
        self._messages = messages
        self._settings = settings
        self._client_id: str = client.rocketmq.v5.util.ClientId().client_id
        self._ends: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._lost: Unavailable | None = None
        self._channel = proxies.connect(deadline)
        self._send = client.protocol.MessagingServiceStub(self._channel).SendMessage

    def leave_to_parent(self) -> None:
        """Do nothing: gRPC has closed the child's copy, and what it holds shares nothing with the parent's."""

    def _deliver(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        judgements: dict[int, Judgement] = {}
        messages: dict[int, GroupedMessage] = {}
        for place, record in enumerate(batch):
            made = self._messages.make(record)
            if isinstance(made, GroupedMessage):
                messages[place] = made
            else:
                judgements[place] = made
        judgements |= self._exchange(messages, deadline)
        return [judgements[place] for place in range(len(batch))]

    def _exchange(self, messages: Mapping[int, GroupedMessage], deadline: float) -> dict[int, Outcome]:
        """Send the messages; return what became of each, under its key here."""
        lanes, calls, outcomes = Lanes(messages), dict[int, Any](), dict[int, Outcome]()
        ends: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._ends = ends  # what comes late is nobody's
        while len(outcomes) < len(messages):
            while not self.is_spent and not self._is_ending and len(calls) < self._settings.unacknowledged:
                place = lanes.next()
                if place is None:
                    break
                calls[place] = self._begin(messages[place], place, deadline)
            if not calls:
                break
            place = self._next_end(ends, deadline)
            if place is None:
                self.is_spent = True
                break
            outcomes[place] = self._outcome(calls.pop(place), messages[place])
            lanes.done(place)
        for call in calls.values():
            call.cancel()
        left = self._lost or Unavailable("the publisher is closed" if self._is_ending else "no acknowledgement in time")
        return {place: outcomes.get(place, left) for place in messages}

    def _begin(self, message: GroupedMessage, place: int, deadline: float) -> Any:
        ends = self._ends
        call = self._send.future(
            message.request, timeout=max(0.0, deadline - monotonic()), metadata=self._proxies.signed(self._client_id)
        )
        call.add_done_callback(lambda _: ends.put(place))
        return call

    def _next_end(self, ends: queue.SimpleQueue[int | None], deadline: float) -> int | None:
        """Return the place of a message whose request has ended; None if none does in time, or all is to end."""
        try:
            return ends.get(timeout=max(0.0, deadline - monotonic()) + GIVEN_UP_WITHIN_SECONDS)
        except queue.Empty:
            return None

    def _outcome(self, call: Any, message: GroupedMessage) -> Outcome:
        try:
            answer = call.result()
        except (self._client.grpc.RpcError, self._client.grpc.FutureCancelledError) as error:
            self.is_spent = True
            self._lost = self._lost or unreached(error)
            return self._lost
        statuses = [(status_name(one), one.message) for one in (answer.status, *(e.status for e in answer.entries))]
        topic = message.request.messages[0].topic.name
        return judge_all(statuses, topic, fifo=self._settings.fifo)

    def _interrupt(self) -> None:
        self._ends.put(None)

    def _end_client(self, patience_seconds: float) -> None:
        self._channel.close()
