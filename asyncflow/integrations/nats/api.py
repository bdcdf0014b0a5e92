"""JetStream's own API: which streams there are, and a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import orjson

from asyncflow.errors import UnreachableError
from asyncflow.integrations.nats.outcomes import EXISTS, describe_error, read
from asyncflow.scheduler.publishing.sessions.texts import one_line

ApiAnswer = dict[str, Any]


class JetStreamApi:
    """Ask over one connection, in its loop; lives as long as that."""

    def __init__(self, library: ModuleType, client: Any, prefix: str) -> None:
        self._library = library
        self._client = client
        self._prefix = prefix
        self._forbidden: set[str] = set()
        self._asked: dict[str, asyncio.Task[Any]] = {}

    @property
    def may_look(self) -> bool:
        """Tell whether this user may ask which streams there are, as far as is known."""
        return f"{self._prefix}.STREAM.NAMES".lower() not in self._forbidden

    def forbid(self, subject: str) -> bool:
        """Know that this user may not publish to a subject, told in small letters; tell whether it is one of these."""
        if not subject.startswith(f"{self._prefix.lower()}."):
            return False
        self._forbidden.add(subject)
        if subject in self._asked:
            self._asked[subject].cancel()
        return True

    async def streams_of(self, subjects: Iterable[str], seconds: float) -> dict[str, ApiAnswer | None]:
        """Ask which streams take each of the subjects; None for no answer in time."""
        found: dict[str, ApiAnswer | None] = {}
        for subject in subjects:
            found[subject] = await self._ask("STREAM.NAMES", {"subject": subject}, seconds)
            if found[subject] is None:
                seconds = 0.0  # nor would it answer for the others
        return found

    async def make(self, stream: Any, seconds: float) -> None:
        """Make a stream; one of its name that is there stays as it is. Raise UnreachableError."""
        answer = await self._ask(f"STREAM.CREATE.{stream.name}", stream.as_dict(), seconds)
        failed = f"the stream {stream.name} could not be made"
        if answer is None:
            raise UnreachableError(f"{failed}: JetStream's API does not answer, or this user may not ask it")
        error = answer.get("error")
        if error and error.get("err_code") != EXISTS:
            raise UnreachableError(one_line(failed, describe_error(error)))

    async def _ask(self, what: str, question: Mapping[str, Any], seconds: float) -> ApiAnswer | None:
        """Return the answer, which may be an error; None if there is none in time, or it may not be asked."""
        subject = f"{self._prefix}.{what}"
        small = subject.lower()
        if seconds <= 0 or small in self._forbidden:
            return None
        asking = asyncio.ensure_future(self._client.request(subject, orjson.dumps(question), timeout=seconds))
        self._asked[small] = asking
        await asyncio.wait({asking}, timeout=seconds)
        if asking.cancelled() or not asking.done():
            asking.cancel()
            return None
        try:
            return read(asking.result().data)
        except self._library.errors.NoRespondersError:
            return {"error": {"code": 503, "description": "it is not enabled: start the server with -js"}}
        except (self._library.errors.Error, OSError):  # its timeout among them
            return None
