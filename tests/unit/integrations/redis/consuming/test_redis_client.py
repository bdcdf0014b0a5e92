"""What a member of a group of Redis does with what it is told; with answers of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from asyncflow.errors import UnreachableError
from asyncflow.integrations.redis.consuming.client import RedisClient
from asyncflow.integrations.redis.consuming.group import Group

ENTRY = [b"1-0", [b"value", b"{}"]]


class Server:
    """Hold one entry that a dead member had, and one that was deleted meanwhile, as Redis 6.2 tells of it."""

    def __init__(self) -> None:
        self.acknowledged: list[Any] = []
        self.connection_pool = SimpleNamespace(disconnect=lambda: None)
        self.error: Exception | None = None
        self.is_signed = threading.Event()
        self._claimed: list[Any] = []

    def set_response_callback(self, name: str, read: Any) -> None: ...

    def execute_command(self, *command: Any) -> Any:
        if self.error is not None:
            self.is_signed.set()
            raise self.error
        match command:
            case ["XAUTOCLAIM", *_] if not self._claimed:
                self._claimed = [[b"0-9", None], ENTRY]
                return [b"0-0", [None, ENTRY]]
            case ["XAUTOCLAIM", *_]:
                return [b"0-0", []]
            case ["XREADGROUP", *_, "0-0"]:
                held = [one for one in self._claimed if one[0].decode() not in self.acknowledged]
                return [[b"coupons", held]] if held else None
            case ["XACK", _, _, id_]:
                self.acknowledged.append(id_)
        return None


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> Iterator[RedisClient]:
    library: Any = SimpleNamespace(RedisError=LookupError)
    made = RedisClient(library, server, Group("group", "me", 0.01, True), {"coupons": "coupons"})
    yield made
    server.error = None
    made.close([])


def test_an_entry_that_was_deleted_and_taken_over_from_a_dead_member_is_acknowledged(
    server: Server, client: RedisClient
) -> None:
    assert [one.within for one in client.take(10, 0.0)] == ["1-0"]
    assert client.take(10, 0.0) == []
    assert server.acknowledged == ["0-9"]


def test_a_member_whose_signs_of_life_do_not_arrive_knows_that_it_is_lost(server: Server, client: RedisClient) -> None:
    client.take(10, 0.0)
    client.require_living()
    server.error = LookupError("the server has gone")
    assert server.is_signed.wait(10.0)
    server.is_signed.clear()
    assert server.is_signed.wait(10.0)  # the first of two signs has been judged
    with pytest.raises(UnreachableError, match="the server has gone"):
        client.require_living()
