"""Messages of one topic, asked for by a thread of their own: a wait for some is longer than a consumer's look."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from asyncflow.errors import UnreachableError
from asyncflow.integrations.rocketmq.consuming.questions import WAIT_SECONDS
from asyncflow.integrations.rocketmq.outcomes import OK, describe, status_name
from asyncflow.scheduler.publishing.sessions.texts import one_line

_ANSWER_WITHIN_SECONDS = 5.0  # beyond the wait
NOTHING = "MESSAGE_NOT_FOUND"

ReceiveSome = Callable[[str, int, float], Any]
Heard = Callable[[Any], None]


class TopicPull:
    """Ask for messages of one topic on a thread of its own, when the consumer's says so; ends with its client."""

    def __init__(self, topic: str, receive: ReceiveSome, heard: Heard, failed: Callable[[BaseException], None]) -> None:
        self._topic = topic
        self._receive = receive
        self._heard = heard
        self._failed = failed
        self._wanted: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._is_at_work = False
        self._call: Any = None
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="asyncflow-rocketmq-pull", daemon=True)
        self._thread.start()

    def ask(self, count: int) -> None:
        """Ask for so many messages, unless what was asked for before may come still."""
        if not self._is_at_work and count > 0:
            self._is_at_work = True
            self._wanted.put(count)

    def end(self, patience_seconds: float) -> None:
        """Ask no more; what is under way the proxy gives back."""
        self._is_ending = True
        self._wanted.put(0)
        if self._call is not None:
            self._call.cancel()
        self._thread.join(patience_seconds)

    def _run(self) -> None:
        while (count := self._wanted.get()) and not self._is_ending:
            try:
                self._take(count)
            except Exception as error:  # noqa: BLE001 - raised on the consumer's thread
                if not self._is_ending:
                    self._failed(error)
            self._is_at_work = False

    def _take(self, count: int) -> None:
        self._call = self._receive(self._topic, count, WAIT_SECONDS + _ANSWER_WITHIN_SECONDS)
        for answer in self._call:
            kind = answer.WhichOneof("content")
            if kind == "message":
                self._heard(answer.message)
            elif kind == "status":
                self._require(answer.status)

    def _require(self, status: Any) -> None:
        name = status_name(status)
        if name not in (OK, NOTHING):
            raise UnreachableError(f"the topic {self._topic!r}: {one_line(name, status.message)}")


def told(error: BaseException) -> UnreachableError:
    """Return what ended a client, as its consumer hears it."""
    return error if isinstance(error, UnreachableError) else UnreachableError(describe(error))
