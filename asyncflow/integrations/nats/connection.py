"""One connection to a server, as the session uses it: every step waits, and none for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from types import ModuleType
from typing import Any

from asyncflow.errors import UnreachableError
from asyncflow.integrations.nats.acks import Acks
from asyncflow.integrations.nats.api import ApiAnswer, JetStreamApi
from asyncflow.integrations.nats.client_loop import NatsLoop
from asyncflow.integrations.nats.messages import NatsMessage
from asyncflow.integrations.nats.outcomes import (
    describe,
    is_for_a_message,
    judge,
    judge_lack,
    judge_unknown_lack,
    subject_forbidden,
)
from asyncflow.integrations.nats.settings import NatsSettings
from asyncflow.scheduler.publishing.publisher import Outcome, Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.suspects import Judgement, Suspect

# nats-py is to do nothing by itself: the next session connects. It tries an address twice, for with 0 it would not end.
ONCE = {"allow_reconnect": False, "max_reconnect_attempts": 1, "reconnect_time_wait": 0}
NO_RESPONDERS = "503"
# At the longest, and of a fifth of the time: to ask what is the matter with a subject that nobody answers for.
ASK_WITHIN_SECONDS = 1.0
# nats-py does not tell of each lost connection: so often it is looked at.
LOOK_SECONDS = 0.1
GIVEN_UP_WITHIN_SECONDS = 1.0


class NatsConnection:
    """Hold a connection and its inbox; lives until it is lost, on the thread of its publisher alone.

    Another thread may ``interrupt`` it. ``is_in_doubt`` tells that something was sent and not answered.
    """

    def __init__(
        self, library: ModuleType, url: str, settings: NatsSettings, options: Mapping[str, Any], deadline: float
    ) -> None:
        """Connect; raise UnreachableError if that is not done by ``deadline`` (monotonic), with nothing left of it."""
        self.is_in_doubt = False
        self._library = library
        self._settings = settings
        self._client: Any = library.NATS()
        self._api = JetStreamApi(library, self._client, settings.api_prefix)
        self._loop = NatsLoop()
        self._change = asyncio.Event()
        self._acks = Acks({}, 0)
        self._inbox = ""
        self._heard: BaseException | None = None
        self._is_deaf = False
        self._is_interrupted = False
        try:
            self._loop.run(self._open(url, options, deadline), deadline)
        except Exception as error:
            self._loop.end(GIVEN_UP_WITHIN_SECONDS)
            raise UnreachableError(self._why(error)) from error
        except BaseException:
            self._loop.end(0.0)
            raise
        self._loop.forget_look_ups()

    @property
    def is_lost(self) -> bool:
        """Tell whether nothing more goes over it."""
        return bool(self._client.is_closed) or self._loop.is_cut

    def exchange(self, messages: Mapping[int, NatsMessage], deadline: float) -> dict[int, Judgement]:
        """Send the messages; return what became of each, by about ``deadline`` (monotonic), under its key here."""
        try:
            return self._loop.run(self._exchange(messages, deadline), deadline + GIVEN_UP_WITHIN_SECONDS)
        except TimeoutError as error:
            self.is_in_doubt = True
            return dict.fromkeys(messages, Unavailable(str(error)))

    def hear(self) -> None:
        """Take in what has come meanwhile."""
        self._loop.hear()

    def interrupt(self) -> None:
        """Let ``exchange`` end soon, from another thread."""
        self._is_interrupted = True
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._change.set)

    def end(self, patience_seconds: float) -> None:
        """Cut the connection, with what is unsent."""
        self._loop.end(patience_seconds)

    # -- to begin ----------------------------------------------------------------------------------------

    async def _open(self, url: str, options: Mapping[str, Any], deadline: float) -> None:
        seconds = max(LOOK_SECONDS, deadline - monotonic())
        ours = {"name": self._settings.connection_name, "error_cb": self._hear, "closed_cb": self._hear_of_its_end}
        await self._client.connect(url, connect_timeout=seconds, **ONCE, **{**ours, **options})
        if not self._loop.is_encrypted and (url.startswith("tls:") or options.get("tls") is not None):
            raise UnreachableError("the server offers no TLS, which is asked for")
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._take)
        for _ in range(2):  # nats-py sends the first PING before the subscription
            await self._client.flush(seconds)
        if self._is_deaf:
            raise UnreachableError("this user may not subscribe to its inbox: allow _INBOX.>, or give an inbox_prefix")
        if self._settings.stream is not None:
            await self._api.make(self._settings.stream, deadline - monotonic())

    # -- to send -----------------------------------------------------------------------------------------

    async def _exchange(self, messages: Mapping[int, NatsMessage], deadline: float) -> dict[int, Judgement]:
        judgements = self._too_large(messages)
        fitting = {place: message for place, message in messages.items() if place not in judgements}
        acks = self._acks = Acks(fitting, self._acks.last_number)
        sending = self._loop.create_task(self._send(acks))
        sending.add_done_callback(lambda _: self._change.set())
        to_ask = min(ASK_WITHIN_SECONDS, (deadline - monotonic()) / 5)
        await self._until(lambda: sending.done() and not acks.pending, deadline - to_ask)
        sending.cancel()
        self.is_in_doubt |= bool(acks.pending)
        lacks = await self._lacks(acks, to_ask)
        return judgements | lacks | acks.outcomes  # an answer may have come while it was asked for

    def _too_large(self, messages: Mapping[int, NatsMessage]) -> dict[int, Judgement]:
        most = self._client.max_payload
        return {
            place: Rejected(
                f"the message has {message.size} bytes with its headers; the server's max_payload is {most}"
            )
            for place, message in messages.items()
            if message.size > most
        }

    async def _send(self, acks: Acks) -> None:
        for number, message in acks.numbered():
            if self.is_lost or self._is_interrupted:
                return
            reply = f"{self._inbox}.{number}"
            try:
                await self._client.publish(message.subject, message.payload, reply, message.headers)
            except (self._library.errors.Error, OSError) as error:
                if not self.is_lost:
                    acks.settle(number, Retry(describe(error)))

    async def _until(self, is_over: Callable[[], bool], deadline: float) -> None:
        while not (is_over() or self.is_lost or self._is_interrupted):
            seconds = min(deadline - monotonic(), LOOK_SECONDS)
            if seconds <= 0:
                return
            self._change.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._change.wait(), seconds)

    # -- what the server says ----------------------------------------------------------------------------

    async def _take(self, answer: Any) -> None:
        number = int(answer.subject[len(self._inbox) + 1 :])
        if not answer.data and answer.headers and answer.headers.get("Status") == NO_RESPONDERS:
            self._acks.miss(number)
        else:
            self._acks.settle(number, judge(answer.data))
        if not self._acks.pending:
            self._change.set()

    async def _hear(self, error: Exception) -> None:
        self._heard, text = error, str(error)
        subject = subject_forbidden(text)
        if subject is None:
            self._is_deaf |= "permissions violation for subscription" in text
        elif not self._api.forbid(subject):
            self._acks.forbid(subject, describe(error))
        self._change.set()

    async def _hear_of_its_end(self) -> None:
        self._change.set()

    # -- what is the matter ------------------------------------------------------------------------------

    async def _lacks(self, acks: Acks, seconds: float) -> dict[int, Judgement]:
        """Return what it means for each message that it was not acknowledged."""
        unheard, silent = acks.unheard, acks.silent()
        if self.is_lost or self._is_interrupted:
            return {**dict.fromkeys(unheard, Unavailable(self._why())), **dict.fromkeys(silent, self._lost())}
        streams = await self._api.streams_of({*unheard.values(), *silent.values()}, seconds)
        return {
            **{place: self._lack(one, streams[one], is_unheard=True) for place, one in unheard.items()},
            **{place: self._lack(one, streams[one], is_unheard=False) for place, one in silent.items()},
        }

    def _lack(self, subject: str, answer: ApiAnswer | None, *, is_unheard: bool) -> Outcome:
        if self._api.may_look:
            return judge_lack(subject, answer, is_unheard=is_unheard)
        return judge_unknown_lack(subject) if is_unheard else Unavailable("no acknowledgement in time")

    def _lost(self) -> Judgement:
        """Return what the end of the connection means for what was under way."""
        text = str(self._client.last_error or "").lower()
        is_suspect = self.is_lost and is_for_a_message(text)
        return Suspect(self._why()) if is_suspect else Unavailable(self._why())

    def _why(self, error: BaseException | None = None) -> str:
        if self._is_interrupted:
            return "the publisher is closed"
        if isinstance(error, UnreachableError):
            return str(error)
        if error is None or isinstance(error, self._library.errors.NoServersError):
            error = self._client.last_error if error is None else self._heard
        if error is None:
            return "the connection was lost"
        is_plain = isinstance(error, (self._library.errors.Error, OSError, asyncio.TimeoutError, TimeoutError))
        return describe(error) if is_plain else type(error).__name__  # whose text may hold a secret
