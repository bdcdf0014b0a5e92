"""The pools of engines that we use, after a fork: their sockets are the parent's, so the child has new pools."""

from __future__ import annotations

import threading
from weakref import WeakSet

from sqlalchemy import Engine
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from asyncflow.forks import is_child, keep_for_ever, leave_at_fork

# A database in memory has no socket, and with a new pool it would be empty.
_IN_MEMORY = (SingletonThreadPool, StaticPool)


class InheritedPools:
    """Know the engines that this process has used for us, and give each child of a fork new pools for them.

    It is what SQLAlchemy asks of an application that forks, ``engine.dispose(close=False)``: connections in use stay
    in use, and those that were idle are left to the parent.
    """

    def __init__(self) -> None:
        self._engines: WeakSet[Engine] = WeakSet()
        self._adopting = threading.Lock()
        leave_at_fork(self)

    def adopt(self, engine: Engine) -> None:
        """Let our statements go over connections of this process alone.

        Nothing tells whether the connections of an engine that is new to us are from before the fork, so a child does
        without those that are idle.
        """
        if engine in self._engines:
            return
        with self._adopting:  # nobody is to take an idle one while it is being left
            if engine not in self._engines:
                if is_child():
                    _leave(engine)
                self._engines.add(engine)

    def leave_to_parent(self) -> None:
        """Give every engine a new pool."""
        self._adopting = threading.Lock()
        for engine in list(self._engines):
            _leave(engine)


def _leave(engine: Engine) -> None:
    if not isinstance(engine.pool, _IN_MEMORY):
        keep_for_ever(engine.pool)
        engine.dispose(close=False)


_inherited_pools = InheritedPools()
adopt = _inherited_pools.adopt
