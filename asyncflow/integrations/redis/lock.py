"""A lock in one Redis: a lease that is renewed, with a number that tells later holders from earlier ones."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

from asyncflow.errors import LockBusyError, OptionError
from asyncflow.integrations.redis import extras
from asyncflow.integrations.redis.lock_hold import LockHold
from asyncflow.integrations.redis.lock_place import LockPlace
from asyncflow.integrations.redis.server import RedisServer
from asyncflow.outbox.options import require_seconds
from asyncflow.text import require_text

LONGEST_NAME = 255
LEAST_SECONDS, LONGEST_SECONDS = 1.0, 3600.0
_ANSWERS_A_LEASE = 4  # so that a renewal that fails leaves time for another
_PAUSE_SECONDS = 0.1  # between two attempts, at the most


class Lock:
    """Let one at a time of all who name it do something, as far as a Redis can; for work whose effects are elsewhere.

    Tasks need none: claims are guarded in the database. Made once for a name, such as a task type's; any thread of any
    process may acquire it. Whoever stops for longer than ``expires_after_seconds`` loses it without knowing, and so
    does everybody when Redis loses its data: let what you change compare the hold's ``token``.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        expires_after_seconds: float = 3.0,
        namespace: str = "asyncflow",
        client_options: Mapping[str, object] | None = None,
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError.

        ``url`` and ``client_options`` are as for RedisPublisher. All keys begin with ``namespace``.
        """
        self.name = require_text("name", name, LONGEST_NAME, OptionError)
        require_seconds("expires_after_seconds", expires_after_seconds, LEAST_SECONDS, LONGEST_SECONDS)
        self.expires_after_seconds = float(expires_after_seconds)
        space = require_text("namespace", namespace, LONGEST_NAME, OptionError)
        library = extras.redis_py("Lock")
        answer = self.expires_after_seconds / _ANSWERS_A_LEASE
        server = RedisServer(library, url, answer, client_options, "expires_after_seconds")
        self._place = LockPlace(library, server, [f"{space}:{{{name}}}:lock", f"{space}:{{{name}}}:token"])

    def acquire(self, wait_seconds: float = 5.0) -> LockHold:
        """Return the hold, as soon as nobody has the lock; a context that gives it back.

        Raises LockBusyError when others had it for ``wait_seconds``, 0 for one attempt, and UnreachableError.
        """
        require_seconds("wait_seconds", wait_seconds, 0.0, LONGEST_SECONDS)
        hold = LockHold(self._place, self.name, self.expires_after_seconds)
        deadline = time.monotonic() + wait_seconds
        while not hold.attempt():
            left = deadline - time.monotonic()
            if left <= 0:
                raise LockBusyError(f"others had the lock {self.name!r} for {wait_seconds:g} s; try again later")
            time.sleep(min(left, _PAUSE_SECONDS * random.uniform(0.5, 1)))
        return hold
