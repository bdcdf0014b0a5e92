"""One connection to Redis, from the first record after a failure to the next failure."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from types import ModuleType
from typing import Any

from asyncflow.integrations.redis.entries import Entries, size_of
from asyncflow.integrations.redis.outcomes import describe, judge
from asyncflow.integrations.redis.settings import RedisSettings
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Record, Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.client_session import ClientSession
from asyncflow.scheduler.publishing.sessions.suspects import Judgement

# So many commands are sent before an answer is read.
AT_ONCE = 500


class RedisSession(ClientSession):
    """Publish through one connection until it is lost, or the server takes no writes.

    Used by its publisher's thread; another thread may ``end`` it, which ends what waits on its socket.
    """

    def __init__(self, library: ModuleType, client: Any, settings: RedisSettings) -> None:
        super().__init__()
        self._library = library
        self._client = client
        self._settings = settings
        self._entries = Entries(settings)

    def leave_to_parent(self) -> None:
        """Do nothing: redis-py ends no connection of another process."""

    def _deliver(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        judgements: list[Judgement] = [self._refused(record) for record in batch]
        places = [place for place, judgement in enumerate(judgements) if judgement == SENT]
        for first in range(0, len(places), AT_ONCE):
            some = places[first : first + AT_ONCE]
            unsent = self._unsent(deadline)
            outcomes = [unsent] * len(some) if unsent else self._send([batch[place] for place in some])
            for place, outcome in zip(some, outcomes, strict=True):
                judgements[place] = outcome
        return judgements

    def _interrupt(self) -> None:
        """Wake the thread that waits for an answer: to end its connection under it would confuse redis-py."""
        with suppress(OSError, RuntimeError, AttributeError):  # it is being made, or has ended just now
            for connection in list(self._client.connection_pool._in_use_connections):
                connection._sock.shutdown(socket.SHUT_RDWR)

    def _end_client(self, patience_seconds: float) -> None:
        self._client.connection_pool.disconnect()

    def _unsent(self, deadline: float) -> Unavailable | None:
        """Return why nothing more is sent, None if there is time and a connection."""
        if self.is_spent or self._is_ending:
            return Unavailable("not sent, as the connection was ended before its turn came")
        return Unavailable("not sent, as the time was over before its turn came") if monotonic() >= deadline else None

    def _refused(self, record: Record) -> Outcome:
        size, most = size_of(record), self._settings.max_message_bytes
        return SENT if size <= most else Rejected(f"the message has {size} bytes; max_message_bytes is {most}")

    def _send(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        try:
            answers = self._answers(batch)
        except self._library.RedisError as error:  # of the connection: those of commands are among the answers
            self.is_spent = True
            trouble = judge(error)
            is_refused = isinstance(error, self._library.ResponseError) and isinstance(trouble, Unavailable)
            return [trouble if is_refused else Unavailable(describe(error))] * len(batch)
        outcomes = [self._judged(answer) for answer in answers[: len(batch)]]
        # Behind the same address there may be another server by now.
        self.is_spent |= any(isinstance(outcome, Unavailable) for outcome in outcomes)
        lacking = self._lacking(answers[len(batch) :])
        return [lacking if lacking and outcome == SENT else outcome for outcome in outcomes]

    def _answers(self, batch: Sequence[Record]) -> list[Any]:
        """Return the server's answers, exceptions among them; the last is that of the wait, if one is asked for."""
        with self._client.pipeline(transaction=False) as pipeline:
            for record in batch:
                pipeline.execute_command(*self._entries.command(record))
            if waits := self._wait():
                pipeline.execute_command(*waits)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            return answers

    def _wait(self) -> list[object]:
        replicas, milliseconds = self._settings.wait_replicas, int(self._settings.delivery_timeout_seconds * 500)
        if self._settings.wait_disk:
            return ["WAITAOF", 1, replicas, milliseconds]
        return ["WAIT", replicas, milliseconds] if replicas else []

    def _lacking(self, answers: Sequence[Any]) -> Unavailable | None:
        """Return what is lacking of the copies that are wanted, as far as they are asked for."""
        for answer in answers:
            if isinstance(answer, Exception):
                return Unavailable(describe(answer))
            disk, replicas = answer if isinstance(answer, (list, tuple)) else (1, answer)
            if disk < 1 or replicas < self._settings.wait_replicas:
                wanted = self._settings.wait_replicas
                return Unavailable(f"on {disk} disk of its own and {replicas} of {wanted} replicas in time")
        return None

    def _judged(self, answer: Any) -> Outcome:
        if isinstance(answer, Exception):
            return judge(answer)
        return SENT if answer is not None else Retry("there is no such stream, and creates_streams is False: make it")
