"""Send requests side by side, those of a key one after another, and give each up in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from time import monotonic
from types import ModuleType
from typing import Any

from asyncflow.integrations.webhooks.doubts import Doubts
from asyncflow.integrations.webhooks.outcomes import Away, Doubtful, JudgedAnswer, judge, judge_error
from asyncflow.integrations.webhooks.posts import Post
from asyncflow.integrations.webhooks.receivers import Receiver
from asyncflow.integrations.webhooks.retry_after import seconds_asked
from asyncflow.integrations.webhooks.settings import WebhookSettings
from asyncflow.scheduler.publishing.publisher import Outcome, Unavailable

# What an answer says besides its status is of no interest, but its connection can be used again when it was read.
READ_OUT_SECONDS = 1.0
MOST_READ_BYTES = 64 * 1024
GIVEN_UP_WITHIN_SECONDS = 1.0

CLOSED = Unavailable("the publisher is closed")
NO_ANSWER = Unavailable("no answer in time")
UNSENT = Unavailable("not sent, as the time was over before its turn came")


class Courier:
    """Carry posts over a transport of httpx; lives as long as its session, used on its loop alone.

    ``tells_hosts_apart``: topics have hosts of their own, so that one which is away is the trouble of its topics.
    """

    def __init__(
        self, library: ModuleType, transport: Any, settings: WebhookSettings, *, tells_hosts_apart: bool
    ) -> None:
        self._library = library
        self._transport = transport
        self._settings = settings
        self._tells_hosts_apart = tells_hosts_apart
        self._doubts = Doubts()
        self._under_way: list[asyncio.Task[None]] = []
        self._is_stopped = False
        seconds = settings.read_timeout_seconds
        self._timeouts = {"connect": settings.connect_timeout_seconds, "read": seconds, "write": seconds, "pool": None}
        self._longest_seconds = settings.connect_timeout_seconds + seconds

    async def deliver(self, posts: Sequence[Post], deadline: float) -> list[Outcome]:
        """Send the posts; return what became of each, by about ``deadline`` (monotonic seconds)."""
        receivers: dict[str, Receiver] = {}
        outcomes: dict[int, Outcome] = {}
        for post in posts:
            receivers.setdefault(post.address.origin, Receiver(self._settings.concurrency))
        if posts and not self._is_stopped:
            self._under_way = [
                asyncio.create_task(self._send_line(posts, line, receivers, outcomes)) for line in _lines(posts)
            ]
            try:
                await asyncio.wait(self._under_way, timeout=max(0.0, deadline - monotonic()))
            finally:
                await self._give_up()
        unknown = CLOSED if self._is_stopped else None
        return [_known(outcomes.get(place), unknown) for place in range(len(posts))]

    def stop(self) -> None:
        """Give up what is under way, and send nothing more."""
        self._is_stopped = True
        for line in self._under_way:
            line.cancel()

    async def end(self) -> None:
        """Close every connection."""
        self.stop()
        await self._transport.aclose()
        for _ in range(2):  # asyncio closes a socket when its transport's last callback has run
            await asyncio.sleep(0)

    async def _give_up(self) -> None:
        lines, self._under_way = self._under_way, []
        for line in lines:
            line.cancel()
        await asyncio.wait(lines, timeout=GIVEN_UP_WITHIN_SECONDS)

    async def _send_line(
        self, posts: Sequence[Post], line: Sequence[int], receivers: dict[str, Receiver], outcomes: dict[int, Outcome]
    ) -> None:
        """Send posts of one key, each when the one before it was answered."""
        for place in line:
            post = posts[place]
            receiver = receivers[post.address.origin]
            async with receiver.room:
                away = receiver.away(post.address)
                outcomes[place] = away or NO_ANSWER  # until it is known
                if away is None:
                    outcomes[place] = await self._send(post, receiver)

    async def _send(self, post: Post, receiver: Receiver) -> Outcome:
        began = monotonic()
        try:
            judged = await self._exchange(post)
        except asyncio.TimeoutError:
            judged = Doubtful(f"{post.address.host}: {NO_ANSWER.error}")
        except Exception as error:  # noqa: BLE001 - of this message; the others go on
            judged = judge_error(self._library, error, post.address.host)
        return self._resolved(post, judged, receiver, began)

    async def _exchange(self, post: Post) -> JudgedAnswer:
        request = self._library.Request(
            "POST",
            post.address.url,
            headers=post.headers_at(time.time()),
            content=post.body,
            extensions={"timeout": self._timeouts},
        )
        # The client bounds each of its reads, of which an answer may need many.
        response = await asyncio.wait_for(self._transport.handle_async_request(request), self._longest_seconds)
        asked = seconds_asked(response.headers, self._settings.max_retry_after_seconds)
        try:
            # Whatever becomes of the rest: the status is the answer.
            with suppress(Exception):
                await asyncio.wait_for(_read_out(response), READ_OUT_SECONDS)
        finally:
            with suppress(Exception):
                await response.aclose()
        return judge(response.status_code, post.address.host, asked, self._settings.retried_statuses)

    def _resolved(self, post: Post, judged: JudgedAnswer, receiver: Receiver, began: float) -> Outcome:
        """Return the outcome, and know of the receiver what it tells."""
        url, outcome = post.address.url, judged
        if isinstance(outcome, Doubtful):
            outcome = self._doubts.resolve(post.message_id, url, outcome, began)
        elif isinstance(outcome, Away):
            outcome = Unavailable(outcome.error)
        elif not isinstance(outcome, Unavailable):
            self._doubts.answered(post.message_id, url)
        if isinstance(outcome, Unavailable):
            is_of_host = isinstance(judged, Away) or (isinstance(judged, Doubtful) and judged.is_of_host)
            if not is_of_host or self._tells_hosts_apart:
                outcome = outcome._replace(is_of_topic=True)
            receiver.leave(post.address, outcome, is_of_host=is_of_host)
        return outcome


def _lines(posts: Sequence[Post]) -> Iterable[list[int]]:
    """Return the places of the posts that go one after another: those of one key to one URL."""
    lines: dict[object, list[int]] = {}
    for place, post in enumerate(posts):
        line = place if post.key is None else (post.address.url, post.key)
        lines.setdefault(line, []).append(place)
    return lines.values()


def _known(outcome: Outcome | None, unknown: Outcome | None) -> Outcome:
    if outcome is None or outcome is NO_ANSWER:
        return unknown or outcome or UNSENT
    return outcome


async def _read_out(response: Any) -> None:
    size = 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > MOST_READ_BYTES:
            return
