"""Writing from an AsyncSession: the doors of an outbox that are awaited, each as the one that is not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asyncflow.outbox.dedupe import Enqueued
from asyncflow.outbox.message import Call, Message
from asyncflow.outbox.options import refuse_keywords
from asyncflow.outbox.transaction.target import awaited

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
    from typing_extensions import Never

    from asyncflow.outbox.declarations.handler_type import Handled
    from asyncflow.outbox.transaction.target import Target

    AsyncTarget = AsyncSession | async_scoped_session[Any]


class Awaiting(ABC):
    """Write into AsyncSessions, as the base of an outbox: what looks up a key sends statements, and so is awaited."""

    @abstractmethod
    def publish_once(self, target: Target, task_type: str, message: Message) -> Enqueued:
        """Add one message."""

    @abstractmethod
    def publish_many(self, target: Target, task_type: str, messages: Iterable[Message]) -> list[UUID]:
        """Add messages of one type."""

    @abstractmethod
    def enqueue_once(self, target: Target, task: Handled, call: Call) -> Enqueued:
        """Add a call of a handler."""

    @abstractmethod
    def enqueue_many(self, target: Target, task: Handled, calls: Iterable[Call]) -> list[UUID]:
        """Add calls of one handler."""

    async def publish_async(
        self,
        session: AsyncTarget,
        task_type: str,
        payload: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        priority: int = 0,
        delay_seconds: float | timedelta = 0,
        content_type: str | None = None,
        idempotency_key: str | None = None,
        **unknown: Never,
    ) -> UUID:
        """Do what ``publish`` does, in an AsyncSession, with an ``idempotency_key`` as well; raises what it raises."""
        if unknown:
            refuse_keywords("publish_async()", unknown, self.publish_async)
        message = Message(payload, key, headers, priority, delay_seconds, content_type, idempotency_key)
        return (await self.publish_once_async(session, task_type, message)).id

    async def publish_once_async(self, session: AsyncTarget, task_type: str, message: Message) -> Enqueued:
        """Do what ``publish_once`` does, in an AsyncSession."""
        return await awaited(session, lambda sync: self.publish_once(sync, task_type, message))

    async def publish_many_async(self, session: AsyncTarget, task_type: str, messages: Iterable[Message]) -> list[UUID]:
        """Do what ``publish_many`` does, in an AsyncSession, with idempotency keys as well."""
        return await awaited(session, lambda sync: self.publish_many(sync, task_type, messages))

    async def enqueue_async(
        self,
        session: AsyncTarget,
        task: Handled,
        /,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        priority: int = 0,
        delay_seconds: float | timedelta = 0,
        run_at: datetime | None = None,
        idempotency_key: str | None = None,
        unique_key: str | None = None,
        **arguments: Any,
    ) -> UUID:
        """Do what ``enqueue`` does, in an AsyncSession, with keys that are looked up as well; raises what it raises."""
        call = Call(arguments, key, headers, priority, delay_seconds, run_at, idempotency_key, unique_key=unique_key)
        return (await self.enqueue_once_async(session, task, call)).id

    async def enqueue_once_async(self, session: AsyncTarget, task: Handled, call: Call) -> Enqueued:
        """Do what ``enqueue_once`` does, in an AsyncSession."""
        return await awaited(session, lambda sync: self.enqueue_once(sync, task, call))

    async def enqueue_many_async(self, session: AsyncTarget, task: Handled, calls: Iterable[Call]) -> list[UUID]:
        """Do what ``enqueue_many`` does, in an AsyncSession, with keys that are looked up as well."""
        return await awaited(session, lambda sync: self.enqueue_many(sync, task, calls))
