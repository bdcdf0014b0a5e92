"""What is asked of ZooKeeper, each a function of the client that asks and waits for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncflow.integrations.zookeeper.session import ZooKeeperQuestion
from asyncflow.integrations.zookeeper.tree import name_of


def syncing() -> ZooKeeperQuestion:
    """Let the server that is asked know all that the leader knows, and the leader that this session lives."""
    return lambda client: client.sync_async("/")


def listing(path: str, changed: Callable[[], None] | None = None) -> ZooKeeperQuestion:
    """Ask for the names below a node; ``changed`` is called once when they change, or the connection is lost."""
    watch = None if changed is None else _Calling(changed)
    return lambda client: client.get_children_async(path, watch=watch)


def names_in(answer: Any) -> frozenset[str]:
    """Return the names that ``listing`` was answered with; none for a node that is not there."""
    return frozenset() if isinstance(answer, Exception) else frozenset(map(name_of, answer))


def describing(path: str) -> ZooKeeperQuestion:
    """Ask for what is known of a node, None if it is not there."""
    return lambda client: client.exists_async(path)


def getting(path: str) -> ZooKeeperQuestion:
    """Ask for the text of a node, and what is known of it."""
    return lambda client: client.get_async(path)


def setting(path: str, text: bytes) -> ZooKeeperQuestion:
    """Write the text of a node that is there."""
    return lambda client: client.set_async(path, text)


def creating(path: str, text: bytes = b"", *, ephemeral: bool = False) -> ZooKeeperQuestion:
    """Create a node, and those above it; one that is ``ephemeral`` ends with the session."""
    return lambda client: client.create_async(path, text, ephemeral=ephemeral, makepath=True)


def deleting(path: str, version: int = -1) -> ZooKeeperQuestion:
    """Delete a node, if it is of that version still."""
    return lambda client: client.delete_async(path, version)


class _Calling:
    """Call somebody; equal to every watch that calls the same, of which the client keeps one a node."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def __call__(self, event: object) -> None:
        self._changed()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Calling) and self._changed == other._changed

    def __hash__(self) -> int:
        return hash(self._changed)
