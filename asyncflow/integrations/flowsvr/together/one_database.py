"""One database, as routes ask it that may be asked of several together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Row

from asyncflow.errors import UnknownTaskTypeError
from asyncflow.integrations.flowsvr.door.tokens import Token
from asyncflow.integrations.flowsvr.pages import PageBounds, page_of
from asyncflow.integrations.flowsvr.service import TaskService
from asyncflow.integrations.flowsvr.together.apart import Apart
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.look_up.cursor import cursor_of
from asyncflow.outbox.look_up.task_rows import Filter
from asyncflow.scheduler.configuration.type_config import OPTIONS, TypeConfig
from asyncflow.scheduler.operator.type_counts import TypeCounts
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome, SettledClaim
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim, RenewedClaims

T = TypeVar("T")
States = Mapping[UUID, Row[Any]]


class Listing(NamedTuple):
    """Say which list is asked for, how much of it, and where it goes on: ``cursor`` is the text of a page's next."""

    its: tuple[Any, ...]
    chosen: Filter
    bounds: PageBounds
    cursor: str | None


class LettersListing(NamedTuple):
    """Say which dead letters are asked for, how many, and where they go on."""

    task_type: str | None
    key: str | None
    limit: int
    cursor: str | None


class ListPage(NamedTuple):
    """Hold rows of a list, all of one database, the text with which it goes on, and which databases were left out."""

    rows: Sequence[Any]
    next: str | None
    away: Sequence[str] = ()
    database: str | None = None  # that the rows lie in; None if there is one alone


class AddedUp(NamedTuple):
    """Hold counts, what of them is each database's, and which they leave out."""

    counts: TypeCounts
    apart: Mapping[str, TypeCounts] = MappingProxyType({})
    away: Sequence[str] = ()


class OneDatabase:
    """Answer for the only database, or for one that a path names; lives as long as its service."""

    def __init__(self, service: TaskService) -> None:
        self.service = service
        self.settings, self.tokens, self.outbox = service.settings, service.tokens, service.outbox
        self.handover = service.handover

    # -- its life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start its monitor; raises ForkedError."""
        self.service.start()

    def stop_waiting(self) -> None:
        """Let waiting holds return, and none wait any more."""
        self.service.waiting_holds.stop()

    async def stop(self) -> None:
        """End it."""
        await self.service.stop()

    async def is_ready(self) -> None:
        """Raise what keeps it from serving."""
        await self.service.database.is_ready()

    async def call(self, work: Callable[[], T]) -> T:
        """Run ``work`` on another thread."""
        return await self.service.call(work)

    # -- creating and looking ----------------------------------------------------------------------------

    def at(self, keys: Iterable[str | None]) -> tuple[str | None, TaskService]:
        """Return where tasks of these keys are to be created, and its name if there are several."""
        return None, self.service

    def database_of(self, task_id: UUID) -> str | None:
        """Return the name of a task's database; None if there is one alone."""
        return None

    async def look_up(self, task_id: UUID) -> tuple[Row[Any] | None, float | None]:
        """Return one task whole, None if there is none; and how many seconds ago a kept one was read."""
        return await self.service.look_up(task_id)

    async def page(self, listing: Listing) -> ListPage:
        """Return a page of tasks; raises OptionError for a cursor of another list."""
        behind = None if listing.cursor is None else cursor_of(listing.cursor, "cursor", listing.its)
        look = partial(page_of, view=self.service.view, chosen=listing.chosen, bounds=listing.bounds, cursor=behind)
        page = await self.service.databases.run(look)
        return ListPage(page.rows, None if page.next is None else page.next.as_text(listing.its))

    async def counts(self, task_type: str | None) -> AddedUp:
        """Return the counts by status and type."""
        return AddedUp(await self.service.databases.run(partial(self.service.view.counts, task_type=task_type)))

    async def letters(self, listing: LettersListing) -> ListPage:
        """Return a page of dead letters; raises OptionError for a cursor of another list."""
        letters, its = self.service.dead_letters, listing
        page = await self.service.call(
            partial(letters.list, task_type=its.task_type, key=its.key, limit=its.limit, after=its.cursor)
        )
        return ListPage(page.letters, page.next)

    # -- task types --------------------------------------------------------------------------------------

    async def types(self) -> Apart:
        """Return the options in force of all types, and whether each is declared in code."""
        await self.service.call(self.service.catalogue.refresh)
        declared = self.outbox.handler_types
        kinds = self.service.catalogue.items()
        return Apart({None: {name: {"is_declared": name in declared, **_options(kind)} for name, kind in kinds}})

    async def configuration(self) -> Apart:
        """Return what is set for each type."""
        configs = await self.service.call(self.service.configurations.all)
        return Apart({None: {name: _options(config) for name, config in configs.items()}})

    async def configuration_of(self, task_type: str) -> Apart:
        """Return what is set for a type; nothing of one that is neither declared nor registered."""
        try:
            config = await self.service.call(partial(self.service.configurations.get, task_type))
        except UnknownTaskTypeError:
            return Apart({None: {}})
        return Apart({None: {task_type: _options(config)}})

    # -- working -----------------------------------------------------------------------------------------

    @property
    def is_stopping(self) -> bool:
        """Tell whether no hold waits any more."""
        return self.service.waiting_holds.is_stopping

    async def unknown(self, names: Collection[str]) -> list[str]:
        """Return those names that are no known types."""
        return await self.service.sort_out(names)

    def is_held(self, name: str) -> bool:
        """Tell whether tasks of the type are given to workers."""
        return self.service.catalogue.is_held(name)

    async def hold(self, worker: str, limits: Mapping[str, int], lease_seconds: float) -> list[Claim]:
        """Claim due tasks of each type up to its limit."""
        return await self.service.hold(worker, limits, lease_seconds)

    async def wait(self, names: Collection[str], seconds: float) -> None:
        """Return when one of the types may have a due task, the time is up, or the service stops."""
        await self.service.waiting_holds.wait(names, seconds)

    async def renew(self, held: Collection[HeldClaim], lease_seconds: float, caller: Token) -> RenewedClaims:
        """Let the caller's claims last for another lease; those of others' types are lost."""
        own = await self.service.are_own([one.id for one in held], caller)
        renewed = await self.service.renew([one for one in held if one.id in own], lease_seconds)
        foreign = [one.id for one in held if one.id not in own]
        return RenewedClaims([*renewed.lost, *foreign], renewed.locked)

    async def settle(self, outcomes: Sequence[ClaimOutcome], caller: Token) -> tuple[list[SettledClaim], States]:
        """Write a caller's outcomes; return them in order, and the rows of those that were not written."""
        return await self.service.settle(outcomes, caller)

    async def checkpoint(self, held: HeldClaim, stage: str, context: str | None, lease_seconds: float | None) -> None:
        """Write how far the work has come; raises ClaimLostError."""
        claims = self.service.claims
        save = partial(claims.checkpoint, held=held, stage=stage, context=context, lease_seconds=lease_seconds)
        await self.service.databases.run(save)

    async def are_own(self, task_id: UUID, caller: Token) -> bool:
        """Tell whether the task is of a type that the caller may use, or gone."""
        return bool(await self.service.are_own([task_id], caller))

    async def states(self, task_id: UUID) -> States:
        """Return the row of a task, if it is there."""
        return await self.service.databases.run(partial(self.service.view.states, ids=[task_id]))


def _options(its: HandlerType | TypeConfig) -> dict[str, Any]:
    return {name: getattr(its, name) for name in OPTIONS}
