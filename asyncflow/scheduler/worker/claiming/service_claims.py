"""Claims for workers elsewhere: on tasks of any shard, by whoever asks, whoever owns the shards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import uuid_of
from asyncflow.scheduler.heads import queries
from asyncflow.scheduler.heads.parts import MOST_LANES
from asyncflow.scheduler.heads.planner_statistics import PlannerStatistics
from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.heads.rounds import behind, claim_rows, earliest_due
from asyncflow.scheduler.table.claim_owner import ClaimOwner
from asyncflow.scheduler.table.row_locks import hold_writers
from asyncflow.scheduler.worker.claiming import queries as claim_queries
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_outcomes import (
    ClaimOutcome,
    SettledClaim,
    TypeOf,
    leaves,
    settled_claims,
)
from asyncflow.scheduler.worker.claiming.claim_rows import Checkpoint, ClaimRows, claim_lost, grouped
from asyncflow.scheduler.worker.claiming.claiming import Claiming, Terms
from asyncflow.scheduler.worker.claiming.free_claims import FreeClaims
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim, RenewedClaims
from asyncflow.scheduler.worker.claiming.holds_at_work import HoldsAtWork
from asyncflow.scheduler.worker.verdict import Verdict

_TYPES_AT_ONCE = 64  # whose lanes a statement looks at


class ServiceClaims:
    """Hold, renew, checkpoint and settle, each in the transaction of the connection given; any thread uses it.

    Each that is told ``of_free`` steps over rows that somebody else has locked: it is called so after a lock was waited
    for in vain. For a while all others do the same by themselves.

    Any number of processes may do so at once: a row is claimed by an UPDATE that asks once more whether it is due, and
    all that follows asks for the token. A hold begins with the earliest task, one beside others behind what they want,
    and one that came too late goes on somewhere, so that those that hold at once rarely meet twice.
    """

    def __init__(
        self,
        outbox: Outbox,
        engine: Engine,
        *,
        deletes: bool,
        most_bytes: int = 2**31,
        on_locked: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._most_bytes = most_bytes  # of tasks in one hold, after which no more are claimed
        self._outbox = outbox
        self._tasks = outbox.tasks
        self._rows = ClaimRows(outbox, deletes=deletes)
        self._dialect = engine.dialect
        self._statistics = PlannerStatistics(outbox.tasks)
        self._free = FreeClaims(outbox.tasks, on_locked)
        self._at_work = HoldsAtWork()

    def heads(self, connection: Connection, names: Collection[str]) -> list[Head]:
        """Read the first PENDING row of each lane; of the types named alone, if there are many or one is named."""
        if len(names) != 1:
            heads = queries.read_heads_behind(connection, self._tasks, Status.PENDING, None, MOST_LANES + 1)
            if len(heads) <= MOST_LANES:
                return heads
        wanted, found = sorted(names), list[Head]()
        for start in range(0, len(wanted), _TYPES_AT_ONCE):
            some = wanted[start : start + _TYPES_AT_ONCE]
            found += queries.read_heads_among(connection, self._tasks, Status.PENDING, some, self._outbox.shard_count)
        return found

    def hold(
        self,
        connection: Connection,
        worker: str,
        limits: Mapping[str, int],
        lease_seconds: float,
        *,
        of_free: bool = False,
    ) -> list[Claim]:
        """Claim due tasks, of each type up to its limit, the earliest of all shards first."""
        # None is known to have reached its worker.
        terms = Terms(ClaimOwner.elsewhere(worker), timedelta(seconds=lease_seconds), lambda names: names)
        claiming = Claiming(self._tasks, self._rows, terms, self._free.caution, self._statistics)
        claim_in = partial(claiming.claim, connection, of_free=self._free.are_wanted(of_free=of_free))
        due: dict[str, list[Head]] = defaultdict(list)
        with self._at_work.one_more() as others:
            for head in earliest_due(self.heads(connection, limits)):
                if head.task_type in limits:
                    due[head.task_type].append(head)
            held: list[Claim] = []
            for name, heads in sorted(due.items()):
                if (room := self._most_bytes - _bytes_of(held)) > 0:
                    look = partial(self._due_heads, connection, name)
                    first = behind(heads, others * limits[name])
                    held += claim_rows(claim_in, look, first, limits[name], _holding(room))
            return held

    def _due_heads(self, connection: Connection, name: str) -> list[Head]:
        shards = self._outbox.shard_count
        return earliest_due(queries.read_heads_of(connection, self._tasks, Status.PENDING, name, shards))

    def held(self, connection: Connection, held: Sequence[HeldClaim]) -> list[HeldClaim]:
        """Read which of these claims are neither settled nor lost; locks nothing."""
        rows = self._read(connection, held, locks=False)
        return [one for one in held if one.id.bytes in rows]

    def kept(self, connection: Connection, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        """Return those of the claims that are held, by a hold that may not have been answered; renew them."""
        if not claims:
            return []
        held = [HeldClaim(claim.task.id, claim.token) for claim in claims]
        lost = set(self._renew(connection, held, lease_seconds, is_heard=False))
        return [claim for claim in claims if claim.task.id not in lost]

    def are_written(self, connection: Connection, settled: Sequence[SettledClaim]) -> bool:
        """Tell whether a settle that judged so has committed: then what it settled is held no longer."""
        judged = [one.held for one in settled if one.verdict is not None]
        return not self._lock(connection, judged) if judged else False

    def renew(
        self, connection: Connection, held: Collection[HeldClaim], lease_seconds: float, *, of_free: bool = False
    ) -> RenewedClaims:
        """Let the claims last for another lease, for their worker asks; tell which do not."""
        free, locked = self._free.sorted_out(connection, held, of_free=of_free)
        lost = self._renew(connection, free, lease_seconds, is_heard=True)
        return RenewedClaims(lost, [one.id for one in locked])

    def hear(
        self, connection: Connection, held: Collection[HeldClaim], *, of_free: bool = False
    ) -> Sequence[HeldClaim]:
        """Write down that workers were given these, so that their attempts count; return those that are locked.

        Waits for no lock where it need not: it would hold those of many rows meanwhile, which others want to settle.
        """
        skips = dialect_of(self._dialect.name).skips_locked(connection.dialect)
        free, locked = self._free.sorted_out(connection, held, of_free=of_free, looks=skips)
        if free:
            values = {"ids": [self._raw(one.id) for one in free], "tokens": list({one.token for one in free})}
            connection.execute(claim_queries.hear(self._tasks), values)
        return locked

    def _renew(
        self, connection: Connection, held: Iterable[HeldClaim], lease_seconds: float, *, is_heard: bool
    ) -> list[UUID]:
        claims = [(token, self._raw(task_id)) for task_id, token in held]
        lost = self._rows.renew(connection, claims, timedelta(seconds=lease_seconds), is_heard=is_heard)
        return [uuid_of(raw_id) for _, raw_id in claims if raw_id in lost]

    def checkpoint(
        self, connection: Connection, held: HeldClaim, stage: str, context: str | None, lease_seconds: float | None
    ) -> None:
        """Write how far the work has come; a lease renews the claim as well. Raises ClaimLostError."""
        lease = None if lease_seconds is None else timedelta(seconds=lease_seconds)
        if not self._rows.checkpoint(connection, held.token, held.id, Checkpoint(stage, context, lease)):
            raise claim_lost(held.id)

    def give_back(self, connection: Connection, claims: Iterable[Claim], verdict: Verdict) -> int:
        """Give claims back that were made a moment ago; return how many."""
        by_token = grouped((claim.token, claim.task.raw_id) for claim in claims)
        return sum(self._rows.write(connection, verdict, token, raw_ids) for token, raw_ids in by_token.items())

    def settle(
        self,
        connection: Connection,
        outcomes: Sequence[ClaimOutcome],
        type_of: TypeOf,
        may_use: Callable[[str], bool] = lambda _: True,
        *,
        of_free: bool = False,
    ) -> list[SettledClaim]:
        """Write the outcomes, a statement for those that are alike; tell of each what was written, in order.

        A claim on a task of a type that one may not use is none.
        """
        held = [outcome.held for outcome in outcomes]
        free, locked = self._free.sorted_out(connection, held, of_free=of_free)
        rows = self._lock(connection, free)
        settled = settled_claims(outcomes, rows, locked, type_of, may_use)
        results = {outcome.held: outcome.result for outcome in outcomes}
        to_write = (
            ((one.held.token, one.verdict, leaves(one, rows[one.held.id.bytes], results[one.held])), one.held)
            for one in settled
            if one.verdict is not None
        )
        for (token, verdict, is_left), written in grouped(to_write).items():
            if is_left and verdict.ends:
                self._rows.end_and_tell(connection, verdict, token, [self._raw(one.id) for one in written])
            elif is_left:
                self._rows.leave(connection, token, {self._raw(one.id): results[one] for one in written})
            else:
                self._rows.write(connection, verdict, token, [self._raw(one.id) for one in written])
        done = [rows[one.held.id.bytes] for one in settled if one.is_success]
        self._rows.forget_contexts(connection, [row[0] for row in done if row.stage is not None])
        return settled

    def _lock(self, connection: Connection, held: Sequence[HeldClaim]) -> dict[bytes, Any]:
        """Read the rows that are held under these tokens, and keep them so until the commit."""
        hold_writers(connection, self._outbox.shards)
        return self._read(connection, held, locks=dialect_of(self._dialect.name).locks_rows)

    def _read(self, connection: Connection, held: Sequence[HeldClaim], *, locks: bool) -> dict[bytes, Any]:
        tokens = {one.id.bytes: one.token for one in held}
        values = {"ids": [self._raw(one.id) for one in held]}
        rows = connection.execute(claim_queries.processing(self._tasks, locks=locks), values)
        return {_key(row[0]): row for row in rows if row.claim_token == tokens[_key(row[0])]}

    def _raw(self, task_id: UUID) -> Any:
        """Return the id as rows have it."""
        return raw_form(task_id, self._dialect.name)


def _holding(most_bytes: int) -> Callable[[list[Claim]], bool]:
    return lambda claims: _bytes_of(claims) >= most_bytes


def _bytes_of(claims: Iterable[Claim]) -> int:
    return sum(len(claim.task.payload or b"") + len(claim.context or "") for claim in claims)


def _key(raw_id: Any) -> bytes:
    return uuid_of(raw_id).bytes
