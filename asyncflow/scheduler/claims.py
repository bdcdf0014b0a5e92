"""Claims: tasks that this worker alone may settle, for as long as it renews them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from asyncflow.errors import ClaimLostError
from asyncflow.outbox import Outbox, Task
from asyncflow.outbox.status import Status
from asyncflow.scheduler import claim_queries, queries
from asyncflow.scheduler.database import Database
from asyncflow.scheduler.queries import Head
from asyncflow.scheduler.settlement import log_line
from asyncflow.scheduler.verdict import Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """Hold one task under a token, from its claim to its settle."""

    task: Task
    token: UUID
    stage: str | None
    context: str | None  # as JSON

    @property
    def attempt(self) -> int:
        """Return the number of this attempt, 1 for the first."""
        return self.task.retry_count + 1


class Written(NamedTuple):
    """Tell of one verdict on some claims how many rows it changed: fewer than all if claims were lost."""

    verdict: Verdict
    claims: Sequence[Claim]
    changed: int


class Claims:
    """Claim, renew and settle for one worker; used by its thread alone, but for ``checkpoint`` and ``settle_in``."""

    def __init__(self, outbox: Outbox, engine: Engine, owner: str, lease_seconds: float, *, deletes: bool) -> None:
        self._tasks = outbox.tasks
        self._engine = engine
        self._database = Database(engine)
        self._owner = owner
        self._lease = timedelta(seconds=lease_seconds)
        self._deletes = deletes

    def heads(self) -> list[Head]:
        """Read what is due, and where."""
        dialect = self._database.dialect
        return self._database.run(
            lambda connection: queries.read_heads(connection, dialect, self._tasks, int(Status.PENDING))
        )

    def claim(self, pages: Iterable[tuple[Sequence[Head], int]]) -> list[Claim]:
        """Claim up to a number of due rows of each group of heads, and commit; those that others took are left out."""
        return self._database.run(lambda connection: self._claim(connection, list(pages)))

    def renew(self, claims: Iterable[Claim]) -> set[Any]:
        """Let the claims last for another lease; return the raw ids of those that are lost."""
        return self._database.run(lambda connection: self._renew(connection, _by_token(claims)))

    def settle(self, judged: Sequence[tuple[Claim, Verdict]]) -> list[Written]:
        """Write the verdicts in one transaction, a statement for those that are alike; tell what each changed."""
        return self._database.run(lambda connection: self._settle(connection, judged))

    def settle_in(self, connection: Connection, claim: Claim) -> None:
        """Mark the task SUCCESS in the handler's own transaction; raises ClaimLostError."""
        if connection.execute(self._succeed(), _values([claim])).rowcount != 1:
            raise _lost(claim)

    def checkpoint(self, claim: Claim, stage: str, context: str | None) -> None:
        """Write how far the work has come, in a transaction of its own, on any thread; raises ClaimLostError."""
        values = {**_values([claim]), "its_stage": stage, "its_context": context, "lease": self._lease}
        database = Database(self._engine)
        try:
            statement = claim_queries.checkpoint(self._tasks)
            if database.run(lambda connection: connection.execute(statement, values).rowcount) != 1:
                raise _lost(claim)
        finally:
            database.close()

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def _claim(self, connection: Connection, pages: list[tuple[Sequence[Head], int]]) -> list[Claim]:
        found = [task for heads, most in pages for task in self._read(connection, heads, most)]
        if not found:
            return []
        # One token for all: what is guarded is a pair of token and id.
        token = uuid4()
        key = {"ids": [task.raw_id for task in found], "token": token}
        values = {**key, "its_owner": self._owner, "lease": self._lease}
        connection.execute(claim_queries.claim(self._tasks), values)
        held = {row[0]: row for row in connection.execute(claim_queries.held(self._tasks), key)}
        return [Claim(task, token, *held[task.raw_id][1:]) for task in found if task.raw_id in held]

    def _read(self, connection: Connection, heads: Sequence[Head], most: int) -> list[Task]:
        each = -(-most // len(heads))
        return queries.read_pages(connection, self._tasks, heads, each)[:most]

    def _renew(self, connection: Connection, by_token: dict[UUID, list[Claim]]) -> set[Any]:
        lost: set[Any] = set()
        for claims in by_token.values():
            values = _values(claims)
            renewed = connection.execute(claim_queries.renew(self._tasks), {**values, "lease": self._lease}).rowcount
            if renewed != len(claims):
                held = connection.execute(claim_queries.held(self._tasks), values)
                lost |= {claim.task.raw_id for claim in claims} - {row[0] for row in held}
        return lost

    def _settle(self, connection: Connection, judged: Sequence[tuple[Claim, Verdict]]) -> list[Written]:
        groups: dict[tuple[UUID, Verdict], list[Claim]] = defaultdict(list)
        for claim, verdict in judged:
            groups[claim.token, verdict].append(claim)
        return [
            Written(verdict, claims, self._write(connection, verdict, claims))
            for (_, verdict), claims in groups.items()
        ]

    def _write(self, connection: Connection, verdict: Verdict, claims: Sequence[Claim]) -> int:
        values = _values(claims)
        if verdict.status is Status.SUCCESS:
            return connection.execute(self._succeed(), values).rowcount
        values["line"] = log_line(verdict.error) if verdict.error else ""
        if verdict.status is Status.PENDING:
            values |= {"delay": timedelta(seconds=verdict.delay_seconds), "refund": int(not verdict.is_spent)}
            return connection.execute(claim_queries.postpone(self._tasks), values).rowcount
        values["its_status"] = int(verdict.status)
        return connection.execute(claim_queries.end(self._tasks), values).rowcount

    def _succeed(self) -> Any:
        succeed = claim_queries.delete_succeeded if self._deletes else claim_queries.succeed
        return succeed(self._tasks)


def _values(claims: Sequence[Claim]) -> dict[str, Any]:
    return {"ids": [claim.task.raw_id for claim in claims], "token": claims[0].token}


def _by_token(claims: Iterable[Claim]) -> dict[UUID, list[Claim]]:
    groups: dict[UUID, list[Claim]] = defaultdict(list)
    for claim in claims:
        groups[claim.token].append(claim)
    return groups


def _lost(claim: Claim) -> ClaimLostError:
    return ClaimLostError(
        f"the claim on task {claim.task.id} ran out or the task is settled; nothing was written, leave it alone"
    )
