"""The requests of one publisher, from its first message to its end."""

from __future__ import annotations

from collections.abc import Sequence

from asyncflow.integrations.webhooks.courier import Courier
from asyncflow.integrations.webhooks.posts import Post, PostMaker
from asyncflow.scheduler.publishing.publisher import Record
from asyncflow.scheduler.publishing.sessions.loop_session import LoopSession
from asyncflow.scheduler.publishing.sessions.suspects import Judgement


class WebhookSession(LoopSession):
    """Send through one pool of connections, until its publisher is closed."""

    def __init__(self, maker: PostMaker, courier: Courier) -> None:
        super().__init__()
        self._maker = maker
        self._courier = courier

    def _deliver(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        made = self._maker.make_all(batch)
        posts = [one for one in made if isinstance(one, Post)]
        outcomes = iter(self._run(self._courier.deliver(posts, deadline)) if posts else ())
        return [next(outcomes) if isinstance(one, Post) else one for one in made]

    async def _give_up(self) -> None:
        self._courier.stop()

    async def _disconnect(self) -> None:
        await self._courier.end()
