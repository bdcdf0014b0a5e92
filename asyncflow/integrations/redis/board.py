"""The board in Redis: two hashes for each job, of signs and of what their instances hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import ModuleType
from typing import Any

from asyncflow.errors import RegistryAwayError, RegistryRefusedError
from asyncflow.forks import keep_for_ever
from asyncflow.integrations.redis.outcomes import code_of, describe
from asyncflow.integrations.redis.server import RedisServer
from asyncflow.scheduler.cluster.signs.board import HeldItems, Sign, held_of, held_text

REFUSED = frozenset({"NOAUTH", "NOPERM", "WRONGPASS"})
KEPT_MILLISECONDS = 24 * 60 * 60 * 1000  # after the last sign of anybody in a job

# In one step, so that nobody reads a sign without what it tells. KEYS: for each job the two hashes; ARGV: the
# instance, how long the hashes are kept, and for each job a sign and what is held.
EXCHANGE = """
local seen = {}
for at = 1, #KEYS, 2 do
  redis.call('HSET', KEYS[at], ARGV[1], ARGV[at + 2])
  redis.call('HSET', KEYS[at + 1], ARGV[1], ARGV[at + 3])
  redis.call('PEXPIRE', KEYS[at], ARGV[2])
  redis.call('PEXPIRE', KEYS[at + 1], ARGV[2])
  seen[#seen + 1] = redis.call('HGETALL', KEYS[at])
end
return seen
"""


class RedisBoard:
    """Keep signs in one Redis; one thread at a time asks. A connection is made by the first question."""

    def __init__(self, library: ModuleType, server: RedisServer, namespace: str) -> None:
        self._library = library
        self._server = server
        self._namespace = namespace
        self._client: Any = None

    def leave_to_parent(self) -> None:
        """Let go of the parent's connection."""
        keep_for_ever(self._client)
        self._client = None

    def exchange(self, instance: str, signs: Mapping[str, Sign]) -> dict[str, dict[str, str]]:
        """Put up the signs, and read all of their jobs, in one step and one answer."""
        keys = [key for job in signs for key in (self._signs(job), self._held(job))]
        # What is held is read later, so it bears the text of its sign.
        texts = [text for sign in signs.values() for text in (sign.text, f"{sign.text} {held_text(sign.held)}")]
        arguments = [instance, KEPT_MILLISECONDS, *texts]
        answers = self._ask(lambda client: client.register_script(EXCHANGE)(keys=keys, args=arguments))
        return {job: _by_name(answer) for job, answer in zip(signs, answers, strict=True)}

    def held_by(self, job: str, signs: Mapping[str, str]) -> dict[str, HeldItems]:
        """Read what these held; there may be a later sign by now."""
        answers = self._ask(lambda client: client.hmget(self._held(job), list(signs)))
        told = {name: _text(answer).partition(" ") for name, answer in zip(signs, answers, strict=True) if answer}
        return {name: held_of(held) for name, (text, _, held) in told.items() if text == signs[name]}

    def take_down(self, job: str, instances: Collection[str]) -> None:
        """Delete the fields of these."""
        for key in (self._signs(job), self._held(job)):
            self._ask(partial(_deleted, key=key, fields=instances))

    def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            client.connection_pool.disconnect()

    def _signs(self, job: str) -> str:
        return f"{self._namespace}:{{{job}}}:signs"

    def _held(self, job: str) -> str:
        return f"{self._namespace}:{{{job}}}:held"

    def _ask(self, work: Callable[[Any], Any]) -> Any:
        if self._client is None:
            self._client = self._server.client(connections=1)
        try:
            return self._server.ask(self._client, work)
        except (self._library.RedisError, OSError) as error:
            self.close()  # an answer that comes late must not be read as that to another question
            kind = RegistryRefusedError if code_of(error) in REFUSED else RegistryAwayError
            raise kind(f"Redis at {self._server.place} did not answer, or refused: {describe(error)}") from error


def _by_name(answer: list[bytes]) -> dict[str, str]:
    texts = [_text(one) for one in answer]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _deleted(client: Any, key: str, fields: Collection[str]) -> Any:
    return client.hdel(key, *fields)


def _text(answer: bytes) -> str:
    return answer.decode(errors="replace")
