"""Where a lock is: two keys of one Redis, changed by scripts, each in one step."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from asyncflow.errors import UnreachableError
from asyncflow.integrations.redis.outcomes import describe
from asyncflow.integrations.redis.server import RedisServer

_MOST_CONNECTIONS = 1024

# A token is greater than all before it. When Redis has lost them, the time in microseconds since 1970 is, unless the
# clock is behind, as that of a replica that took over may be.
# One whose answer was lost asks again in the same name, and has the same lock.
_ACQUIRE = """
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= ARGV[1] then return false end
if not holder then
  local now = redis.call('TIME')
  local last = tonumber(redis.call('GET', KEYS[2]) or '0')
  local token = string.format('%.0f', math.max(last + 1, now[1] * 1000000 + now[2]))
  redis.call('SET', KEYS[2], token)
  redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'token', token)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HGET', KEYS[1], 'token')
"""
_RENEW = """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class LockPlace:
    """Ask the server for one lock; any thread may."""

    def __init__(self, library: ModuleType, server: RedisServer, keys: list[str]) -> None:
        self._library = library
        self._server = server
        self._keys = keys
        self._client = server.client(connections=_MOST_CONNECTIONS)  # which in a fork connects anew
        self._scripts = {text: self._client.register_script(text) for text in (_ACQUIRE, _RENEW, _RELEASE)}

    def acquire(self, holder: str, milliseconds: int) -> int | None:
        """Return the token, None if somebody else holds the lock; raises UnreachableError."""
        answer = self._ask(_ACQUIRE, holder, milliseconds)
        return None if answer is None else int(answer)

    def renew(self, holder: str, milliseconds: int) -> bool:
        """Let the lock last from now on; tell whether it is the holder's still; raises UnreachableError."""
        return bool(self._ask(_RENEW, holder, milliseconds))

    def release(self, holder: str) -> None:
        """Give the lock back, if it is the holder's still; raises UnreachableError."""
        self._ask(_RELEASE, holder)

    def _ask(self, script: str, *arguments: object) -> Any:
        try:
            return self._server.ask(
                self._client, lambda client: self._scripts[script](keys=self._keys, args=arguments, client=client)
            )
        except (self._library.RedisError, OSError) as error:
            raise UnreachableError(f"Redis at {self._server.place}: {describe(error)}") from error
