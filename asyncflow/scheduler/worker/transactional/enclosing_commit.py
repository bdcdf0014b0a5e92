"""The commit that a handler and its task's outcome have in common, in a transaction of the application's making."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, Engine

from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.lines.limits import LIMITS
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_source import ClaimSource

if TYPE_CHECKING:
    from asyncflow.outbox.declarations.handler_type import Enclose

T = TypeVar("T")


def work_in(enclose: Enclose, work: Callable[[Connection], T]) -> T:
    """Do ``work`` in the application's transaction; return what it returns, when that has ended without an error.

    Raises what ``work`` raises, also where the application's context manager swallows it: it has committed nothing.
    """
    with enclose() as connection:
        try:
            return work(connection)
        except BaseException as error:
            raised = error
            raise
    raise raised


class EnclosingCommit:
    """Call a handler within the application's transaction, and settle its task there, as the last thing before COMMIT.

    Lives for one attempt, on the handler's thread. Whether an unknown COMMIT happened, the row tells, which is asked
    for on ``engine``.
    """

    def __init__(self, source: ClaimSource, engine: Engine, claim: Claim, enclose: Enclose) -> None:
        self._source = source
        self._engine = engine
        self._claim = claim
        self._enclose = enclose
        self.is_committed = False  # the settle is known to have committed
        self.is_open = True  # nothing has committed, and nothing may have

    def run(self, handle: Callable[[], None]) -> None:
        """Call ``handle``, then commit; raises what either raises."""

        def work(connection: Connection) -> None:
            handle()
            self._source.settle_in(connection, self._claim)
            self.is_open = False

        try:
            work_in(self._enclose, work)
            self.is_committed = True
        finally:
            if not (self.is_open or self.is_committed):
                self._make_sure()

    def _make_sure(self) -> None:
        with suppress(Exception), connected(self._engine, LIMITS) as connection:
            self.is_open = self._source.still_holds(connection, self._claim)
            self.is_committed = not self.is_open
