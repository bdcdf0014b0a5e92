"""A queue of tasks on streams of one Redis: one for each task type, and one for what workers tell."""

from __future__ import annotations

from collections.abc import Mapping

from asyncflow.errors import OptionError
from asyncflow.integrations.redis import extras
from asyncflow.integrations.redis.queue_lines import RedisCollecting, RedisSending, RedisTaking, RedisTelling, Streams
from asyncflow.integrations.redis.server import RedisServer
from asyncflow.outbox.options import require_whole
from asyncflow.scheduler.task_queue import MOST_CREDITS
from asyncflow.text import require_text

LONGEST_NAMESPACE = 255
_TIMEOUT_SECONDS = 10.0


class RedisQueue:
    """Lead tasks to workers elsewhere, and what they tell back, by streams of Redis 6.2 or Valkey.

    Given to schedulers as ``queues={name: RedisQueue(url)}``, and to workers; it holds nothing of a process. Each
    application, and each database, has a ``namespace`` of its own: all keys begin with it.
    """

    def __init__(
        self,
        url: str,
        *,
        credits: int = 1000,  # noqa: A002 - what they are called; the built-in is for people at a prompt
        namespace: str = "asyncflow",
        client_options: Mapping[str, object] | None = None,
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError.

        ``url`` and ``client_options`` are as for RedisPublisher. ``credits`` is how many tasks of each type a scheduler
        has in the queue and at work at the most.
        """
        require_whole("credits", credits, 1, MOST_CREDITS)
        self.credits = credits
        self._namespace = require_text("namespace", namespace, LONGEST_NAMESPACE, OptionError)
        self._library = extras.redis_py("RedisQueue")
        self._server = RedisServer(self._library, url, _TIMEOUT_SECONDS, client_options, "RedisQueue's own")

    def sending(self, name: str) -> RedisSending:
        """Return a line by which letters go to workers."""
        return RedisSending(self._library, self._server, Streams(self._namespace, name))

    def collecting(self, name: str, member: str) -> RedisCollecting:
        """Return a line by which notes come."""
        return RedisCollecting(self._library, self._server, Streams(self._namespace, name), member)

    def taking(self, name: str) -> RedisTaking:
        """Return a line by which letters come."""
        return RedisTaking(self._library, self._server, Streams(self._namespace, name))

    def telling(self, name: str) -> RedisTelling:
        """Return a line by which notes go back."""
        return RedisTelling(self._library, self._server, Streams(self._namespace, name))
