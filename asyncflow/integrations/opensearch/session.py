"""The requests of one publisher, from its first message to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from time import monotonic
from types import ModuleType
from typing import Any, TypeVar

import orjson

from asyncflow.errors import UnreachableError
from asyncflow.integrations.opensearch.actions import Action, action_of, bulks
from asyncflow.integrations.opensearch.outcomes import judge_answer, judge_error, judge_template
from asyncflow.integrations.opensearch.server import SearchServer
from asyncflow.integrations.opensearch.settings import OpenSearchSettings
from asyncflow.scheduler.publishing.publisher import Record, Unavailable
from asyncflow.scheduler.publishing.sessions.loop_session import LoopSession
from asyncflow.scheduler.publishing.sessions.suspects import Judgement

T = TypeVar("T")
UNSENT = Unavailable("not sent, as the time was over before its turn came")
CLOSED = "the publisher is closed"


class OpenSearchSession(LoopSession):
    """Send bulks one after another, until the publisher is closed."""

    def __init__(self, library: ModuleType, server: SearchServer, settings: OpenSearchSettings) -> None:
        super().__init__()
        self._library = library
        self._server = server
        self._settings = settings
        self._has_templates = False
        self._under_way: asyncio.Task[Any] | None = None  # of the loop, which alone reads and sets it

    def _refresh(self, deadline: float) -> None:
        """Put the templates there, once, before an index could be made without them."""
        if self._has_templates:
            return
        for name, template in self._settings.templates.items():
            self._put_template(name, orjson.dumps(template), deadline)
        self._has_templates = True

    def _put_template(self, name: str, body: bytes, deadline: float) -> None:
        host = self._server.place.host
        try:
            status, content = self._run(self._until_ending(self._server.put_template(name, body, deadline)))
        except UnreachableError:
            raise
        except Exception as error:
            raise UnreachableError(judge_error(self._library, error, host).error) from error
        if fault := judge_template(status, content, name, host):
            raise UnreachableError(fault)

    def _deliver(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        settings = self._settings
        made = [action_of(record, settings.version_field, settings.max_bulk_bytes) for record in batch]
        actions = [one for one in made if isinstance(one, Action)]
        judgements = iter(
            [one for part in bulks(actions, settings.max_bulk_bytes) for one in self._send(part, deadline)]
        )
        return [next(judgements) if isinstance(one, Action) else one for one in made]

    def _send(self, actions: Sequence[Action], deadline: float) -> list[Judgement]:
        if self._is_ending or monotonic() >= deadline:
            return [Unavailable(CLOSED) if self._is_ending else UNSENT] * len(actions)
        body, host = b"".join(action.body for action in actions), self._server.place.host
        try:
            status, content = self._run(self._until_ending(self._server.bulk(body, deadline)))
        except UnreachableError as error:
            return [Unavailable(str(error))] * len(actions)
        except Exception as error:  # noqa: BLE001 - whatever the client raises: nobody has said that it is indexed
            return [judge_error(self._library, error, host)] * len(actions)
        return judge_answer(status, content, actions, host)

    async def _give_up(self) -> None:
        if self._under_way is not None:
            self._under_way.cancel()

    async def _until_ending(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work; raise UnreachableError as soon as another thread ends the session."""
        under_way: asyncio.Task[T] = asyncio.ensure_future(work)
        self._under_way = under_way
        if self._is_ending:  # that thread may have been here before
            under_way.cancel()
        try:
            return await under_way
        except asyncio.CancelledError:
            raise UnreachableError(CLOSED) from None
        finally:
            self._under_way = None

    async def _disconnect(self) -> None:
        await self._server.end()
