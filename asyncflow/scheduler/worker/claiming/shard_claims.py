"""Claims on the tasks in the shards that this instance owns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from sqlalchemy.exc import DBAPIError

from asyncflow.events import RowsLocked, StepFailed
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.status import Status
from asyncflow.scheduler.heads.parts import HeadParts
from asyncflow.scheduler.heads.precedence import Precedence
from asyncflow.scheduler.heads.queries import Head, Lane
from asyncflow.scheduler.heads.recent_heads import RecentHeads
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.loops.pause import LONG_SECONDS
from asyncflow.scheduler.scope import Scope
from asyncflow.scheduler.table.claim_owner import ClaimOwner
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_source import DESTINATION, Found
from asyncflow.scheduler.worker.claiming.claims import Claims
from asyncflow.scheduler.worker.verdict import UNANSWERED


class ShardClaims(Claims):
    """Be the source of claims on tasks of ``types`` in a scheduler; a claim outlives the hand-over of its shard.

    By default the instance is their owner.
    """

    def __init__(
        self,
        instance: Instance,
        scope: Scope,
        types: Mapping[str, HandlerType],
        wake: Callable[[], None] = lambda: None,
        owner: ClaimOwner | None = None,
    ) -> None:
        settings = instance.settings
        owner = owner or ClaimOwner.in_process(scope.ownership.owner)
        deletes = settings.on_success == "delete"
        super().__init__(instance.outbox, instance.engine, owner, settings.claim_lease_seconds, deletes=deletes)
        self._hooks = instance.hooks
        self._types = types
        self._ownership = scope.ownership
        self.rest = scope.lookout.rest_for(lambda head: head.task_type in types, wake=wake)
        self._lookout = lookout = scope.lookout
        outbox = instance.outbox
        parts = HeadParts(self._database.run, outbox.tasks, Status.PENDING, outbox.shard_count)
        self._recent = RecentHeads(
            lambda lanes: lookout.seen_by(partial(parts.next, lanes)), lets_rest=lambda: lookout.lets_rest
        )
        self._precedences: defaultdict[str, Precedence] = defaultdict(Precedence)

    def claim_due(self, free: Mapping[str, int]) -> Found:
        """Claim from the pages whose heads are due; first take over what one that raised may have brought."""
        if left := self._take_over(free):
            return Found(left, 0.0)
        with self._ownership.in_use() as hold:
            state = (frozenset(hold.items()), frozenset(free))
            if self.rest.lasts(state):
                return Found([], self.rest.seconds)
            found = self._claim_from(self._recent.remembered(), hold, free)
            if not found.claims:
                found = self._search(hold, free)
        if found.claims:
            self.rest.after_work()
        else:
            self.rest.after_nothing(state, found.look_in_seconds)
        self._left = []
        return found

    def _search(self, owned: Collection[int], free: Mapping[str, int]) -> Found:
        """Look, and claim what is due; if there are many lanes, look at parts until there is something."""
        wait = self._recent.rest_seconds or LONG_SECONDS
        for heads in self._recent.looks():
            found = self._claim_from(heads, owned, free)
            wait = min(wait, found.look_in_seconds)
            if found.claims:
                return found
        return Found([], wait)

    def _take_over(self, free: Mapping[str, int]) -> list[Claim]:
        """Return claims that were made without an answer; those there is no room for any more are given back."""
        room = Counter(free)
        taken: list[Claim] = []
        beyond: list[Claim] = []
        for claim in self.claim_left():
            room[claim.task.task_type] -= 1
            (taken if room[claim.task.task_type] >= 0 else beyond).append(claim)
        if beyond:
            self._give_back(beyond, taken)
        return taken

    def _give_back(self, beyond: list[Claim], taken: list[Claim]) -> None:
        try:
            self.settle([(claim, UNANSWERED) for claim in beyond])
        except BaseException:
            self._left = [*taken, *beyond]
            raise

    def _claim_from(self, heads: Iterable[Head], owned: Collection[int], free: Mapping[str, int]) -> Found:
        """Claim from the pages of heads that are due, and forget the heads if the pages had less than was wanted."""
        mine = [head for head in heads if head.shard in owned and head.task_type in free]
        pages = self._pages([head for head in mine if head.due_in_seconds <= 0], free)
        claims = self.claim(pages) if pages else []
        self._left = claims  # until they are returned to the worker
        if len(claims) < sum(room for _, room in pages) and self._recent.is_whole:
            self._recent.forget()
        else:
            self._recent.move(self._moved(heads[0].task_type for heads, _ in pages))
        return Found(claims, min((head.due_in_seconds for head in mine), default=LONG_SECONDS))

    def _pages(self, due: Iterable[Head], free: Mapping[str, int]) -> list[tuple[list[Head], int]]:
        """Return the lanes of each type as they go on, earliest first, with the number of rows there is room for."""
        of_types: dict[str, list[Head]] = {}
        for head in due:
            frontier = self._precedences[head.task_type].frontier_of(head)
            of_types.setdefault(head.task_type, []).append(head._replace(moment=frontier))
        return [(sorted(heads, key=lambda head: head.moment), free[name]) for name, heads in of_types.items()]

    def _moved(self, names: Iterable[str]) -> dict[Lane, int | None]:
        lanes = ((name, self._precedences[name].moved) for name in names)
        return {(name, shard): moment for name, moved in lanes for shard, moment in moved.items()}

    def _marked_types(self, names: set[str]) -> Collection[str]:
        return [name for name in names if name in self._types and self._types[name].lets_wait]

    def _precedence_of(self, task_type: str) -> Precedence:
        return self._precedences[task_type]

    def _database_now(self) -> float | None:
        return self._lookout.database_now()

    def _on_locked(self, rows: int) -> None:
        self._hooks.emit(RowsLocked(DESTINATION, rows))

    def _on_refused(self, error: DBAPIError) -> None:
        self._hooks.emit(StepFailed(DESTINATION, error, 0.0))
