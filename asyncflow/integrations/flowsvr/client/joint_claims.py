"""What a worker of a task service does past the service: transactional handlers settle in the table itself."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol
from uuid import UUID

from sqlalchemy import Connection

from asyncflow.errors import OptionError
from asyncflow.scheduler.worker.claiming.claim import Claim


class JointClaims(Protocol):
    """Settle in a handler's own transaction, as the Claims of a database do."""

    def settle_in(self, connection: Connection, claim: Claim) -> None:
        """Mark the task SUCCESS; raises ClaimLostError."""
        ...

    def still_holds(self, connection: Connection, claim: Claim) -> bool:
        """Read whether the claim is neither settled nor lost."""
        ...

    def raw_id_of(self, task_id: UUID) -> Any:
        """Return an id in the form in which rows have it."""
        ...


class NoTable:
    """Stand for the claims of a worker without a database, which starts with no transactional handler."""

    def settle_in(self, connection: Connection, claim: Claim) -> NoReturn:
        """Raise OptionError: there is no table to settle in."""
        raise _no_table(claim)

    def still_holds(self, connection: Connection, claim: Claim) -> NoReturn:
        """Raise OptionError: there is no table to read."""
        raise _no_table(claim)

    def raw_id_of(self, task_id: UUID) -> Any:
        """Return the id itself: no row is named by it here."""
        return task_id


def _no_table(claim: Claim) -> OptionError:
    return OptionError(
        f"the task {claim.task.id} has a transactional handler, but an Outbox has no database to settle it in; "
        f"give a Scheduler whose database has the service's task table"
    )
