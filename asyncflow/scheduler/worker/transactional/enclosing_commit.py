"""The commit that a handler and its task's outcome have in common, in a transaction of the application's making."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from sqlalchemy import Connection, Engine

from asyncflow.scheduler.connections.connecting import connected
from asyncflow.scheduler.connections.limits import LIMITS
from asyncflow.scheduler.worker.claim_source import Claim, ClaimSource


class EnclosingCommit:
    """Call a handler within the application's transaction, and settle its task there, as the last thing before COMMIT.

    Lives for one attempt, on the handler's thread. Whether an unknown COMMIT happened, the row tells, which is asked
    for on ``engine``.
    """

    def __init__(
        self,
        source: ClaimSource,
        engine: Engine,
        claim: Claim,
        enclose: Callable[[], AbstractContextManager[Connection]],
    ) -> None:
        self._source = source
        self._engine = engine
        self._claim = claim
        self._enclose = enclose
        self.is_committed = False  # the settle is known to have committed

    def run(self, handle: Callable[[], None]) -> None:
        """Call ``handle``, then commit; raises what either raises."""
        is_sent = False
        try:
            with self._enclose() as connection:
                handle()
                self._source.settle_in(connection, self._claim)
                is_sent = True
            self.is_committed = True
        finally:
            if is_sent and not self.is_committed:
                self._make_sure()

    def _make_sure(self) -> None:
        with suppress(Exception), connected(self._engine, LIMITS) as connection:
            self.is_committed = not self._source.still_holds(connection, self._claim)
