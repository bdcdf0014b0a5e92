"""One connection to a broker and its channel, as the session uses them: every step waits, and none for ever."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import partial
from time import monotonic
from types import ModuleType
from typing import Any

from asyncflow.errors import UnreachableError
from asyncflow.integrations.rabbitmq.client_loop import ClientLoop
from asyncflow.integrations.rabbitmq.outcomes import describe_error

ABORTED_WITHIN_SECONDS = 0.2
GIVEN_UP_WITHIN_SECONDS = 0.5
# A broker that is short of memory or of disk stops reading: so long it may take for it to go on.
BLOCKED_FOR_SECONDS = 1.0


class AmqpConnection:
    """Hold a connection; lives until it is lost, on the thread of its publisher alone.

    ``trouble`` is why the channel that was opened last is closed, None while it is open; ``is_lost`` tells whether the
    whole connection is. ``blocked_since`` (monotonic) tells that the broker takes nothing for now, ``blocked_for`` why.
    """

    def __init__(self, library: ModuleType, loop: ClientLoop, parameters: list[Any], deadline: float) -> None:
        """Connect to the first server that answers; raise UnreachableError if none does by ``deadline``."""
        self.trouble: BaseException | None = None
        self.is_lost = False
        self.blocked_since: float | None = None
        self.blocked_for = ""
        self._library = library
        self._loop = loop
        self._connection = self._connected(parameters, deadline)
        self._connection.add_on_close_callback(self._hear_of_its_end)
        self._connection.add_on_connection_blocked_callback(self._hear_that_it_is_blocked)
        self._connection.add_on_connection_unblocked_callback(self._hear_that_it_is_not)

    @property
    def heartbeat_seconds(self) -> float:
        """Return what both sides agreed on; 0 for none."""
        return float(self._connection.params.heartbeat or 0)

    def open_channel(self, deadline: float) -> Any | None:
        """Return a new channel; None if there is none by ``deadline``, and ``trouble`` may tell why."""
        if self.is_lost:
            return None
        self.forget_trouble()
        opened: list[Any] = []
        channel = self._connection.channel(on_open_callback=partial(self._note, opened))
        channel.add_on_close_callback(self._hear_of_a_closed_channel)
        is_open = self._until(lambda: bool(opened), deadline)
        return channel if is_open and channel.is_open else None

    def forget_trouble(self) -> None:
        """Begin anew with a channel that is open."""
        if not self.is_lost:
            self.trouble = None

    def ask(self, channel: Any, method: Callable[..., Any], deadline: float) -> bool:
        """Call a method that takes a ``callback``; tell whether it was answered, and not by the end of the channel."""
        answers: list[Any] = []
        method(callback=partial(self._note, answers))
        return self._until(lambda: bool(answers), deadline) and channel.is_open

    def end(self, patience_seconds: float, *, at_once: bool) -> bool:
        """End the connection, ``at_once`` without what it has not sent yet; return whether nothing is left of it."""
        deadline = monotonic() + patience_seconds
        if not (at_once or self.is_lost):
            with suppress(self._library.exceptions.AMQPError):
                self._connection.close()
                self._loop.wait(lambda: self.is_lost, deadline)
        if not self.is_lost:
            # Its public way sends first what is left to send, which was reported as not sent.
            self._connection._terminate_stream(self._library.exceptions.AMQPConnectionError("ended by asyncflow"))
            self._loop.wait(lambda: self.is_lost, max(deadline, monotonic() + ABORTED_WITHIN_SECONDS))
        return self.is_lost

    def _connected(self, servers: list[Any], deadline: float) -> Any:
        error: BaseException | None = None
        for number, parameters in enumerate(servers):
            seconds = (deadline - monotonic()) / (
                len(servers) - number
            )  # one that is silent leaves time for the others
            if seconds <= 0:
                break
            answer = self._answer_of(parameters, seconds)
            if not isinstance(answer, BaseException):
                return answer
            error = answer
        raise UnreachableError("no broker answered in time" if error is None else describe_error(error)) from error

    def _answer_of(self, parameters: Any, seconds: float) -> Any:
        """Return a connection, or why there is none; pika itself gives up in so many seconds."""
        limited = copy(parameters)
        for name in ("socket_timeout", "stack_timeout"):
            setattr(limited, name, min(getattr(parameters, name), seconds))
        done: list[Any] = []
        create = self._library.SelectConnection.create_connection
        workflow = create([limited], on_done=partial(self._note, done), custom_ioloop=self._loop.native)
        if not self._loop.wait(lambda: bool(done), monotonic() + seconds + GIVEN_UP_WITHIN_SECONDS):
            workflow.abort()  # of the look-up of a name, which has no limit of its own
            self._loop.wait(lambda: bool(done), monotonic() + ABORTED_WITHIN_SECONDS)
            return TimeoutError("no answer in time")
        return done[0]

    def _until(self, is_answered: Callable[[], bool], deadline: float) -> bool:
        return self._loop.wait(lambda: is_answered() or self.trouble is not None or self.is_lost, deadline)

    def _note(self, notes: list[Any], answer: Any) -> None:
        notes.append(answer)
        self._loop.stop()

    def _hear_of_a_closed_channel(self, _: Any, reason: BaseException) -> None:
        if not isinstance(reason, self._library.exceptions.ChannelClosedByClient):
            self.trouble = reason
        self._loop.stop()

    def _hear_of_its_end(self, _: Any, reason: BaseException) -> None:
        self.is_lost, self.trouble = True, reason
        self._loop.stop()

    def _hear_that_it_is_blocked(self, _: Any, frame: Any) -> None:
        self.blocked_since, self.blocked_for = monotonic(), str(frame.method.reason)
        self._loop.native.call_later(BLOCKED_FOR_SECONDS, self._loop.stop)

    def _hear_that_it_is_not(self, *_: Any) -> None:
        self.blocked_since = None
