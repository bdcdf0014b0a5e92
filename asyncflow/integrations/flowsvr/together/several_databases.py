"""Several databases, as routes ask them together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Row

from asyncflow.integrations.flowsvr.door.problems import Problem
from asyncflow.integrations.flowsvr.door.tokens import Token
from asyncflow.integrations.flowsvr.service import TaskService
from asyncflow.integrations.flowsvr.together.apart import Apart
from asyncflow.integrations.flowsvr.together.asking import Asking, named_away
from asyncflow.integrations.flowsvr.together.joint_holds import JointHolds
from asyncflow.integrations.flowsvr.together.joint_walk import JointWalk
from asyncflow.integrations.flowsvr.together.one_database import (
    AddedUp,
    LettersListing,
    Listing,
    ListPage,
    OneDatabase,
    States,
)
from asyncflow.integrations.flowsvr.together.places import Places
from asyncflow.scheduler.operator.type_counts import TypeCounts
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome, SettledClaim
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim, RenewedClaims

T = TypeVar("T")
_PATIENCE_SECONDS = 2.0  # with a database that is asked beside others
_NAME_ONE = "ask one of them by its name before the path: /databases/"


class JointHandover:
    """Tell each database what became of the claims that it gave; used on the event loop."""

    def __init__(self, services: Mapping[str, TaskService], holds: JointHolds) -> None:
        self._services = services
        self._holds = holds

    def arrived(self, claims: Sequence[Claim]) -> None:
        """Let the rows say that their workers were given them."""
        for name, some in self._holds.by_database(claims).items():
            self._services[name].handover.arrived(some)

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Let the tasks be due again."""
        self._holds.give_back(claims)


class SeveralDatabases:
    """Answer for several databases; lives from the start to the end of its process, on one event loop.

    Each has a TaskService of its own. What is asked of all is told of those that answer in time; the others are named.
    Raises OptionError where the outbox's own databases are others.
    """

    def __init__(self, services: Mapping[str, TaskService]) -> None:
        self.apart = {name: OneDatabase(service) for name, service in services.items()}
        any_one = next(iter(services.values()))
        self.settings, self.tokens, self.outbox = any_one.settings, any_one.tokens, any_one.outbox
        self._any_one = any_one
        self._services = services
        self._routing = self.outbox.databases_or(services)
        self._asking = Asking(_PATIENCE_SECONDS)
        self._walk = JointWalk(services, self._asking)
        self._places = Places(services, self._asking)
        self._holds = JointHolds(services, self._places)
        self.handover = JointHandover(services, self._holds)

    # -- its life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the monitors; raises ForkedError."""
        for service in self._services.values():
            service.start()

    def stop_waiting(self) -> None:
        """Let waiting holds return, and none wait any more."""
        self._holds.stop()
        for service in self._services.values():
            service.waiting_holds.stop()

    async def stop(self) -> None:
        """End all at once."""
        self.stop_waiting()
        await asyncio.sleep(0)  # until what is asked for nobody knows that it ends
        answers = await Asking(2 * self.settings.stop_timeout_seconds).each(
            {name: service.stop() for name, service in self._services.items()}
        )
        answers.require_one()

    async def is_ready(self) -> None:
        """Raise what keeps the first from serving if none serves."""
        answers = await self._asking.each({name: its.database.is_ready() for name, its in self._services.items()})
        answers.require_one()

    async def call(self, work: Callable[[], T]) -> T:
        """Run ``work`` on another thread."""
        return await self._any_one.call(work)

    # -- creating and looking ----------------------------------------------------------------------------

    def at(self, keys: Iterable[str | None]) -> tuple[str | None, TaskService]:
        """Return where tasks of these keys are to be created, and its name.

        Raises Problem 422 for tasks without a key, or of keys that lie in several databases.
        """
        names = set()
        for key in keys:
            if key is None:
                known = ", ".join(self._services)
                raise Problem(
                    422, f"key is null, so no database is meant; give one, or {_NAME_ONE}NAME, of {known}", field="key"
                )
            names.add(self._routing.name_of(key))
        if len(names) > 1:
            raise Problem(
                422,
                f"the keys lie in {', '.join(sorted(names))}, and tasks are created in one transaction; send those of "
                f"each database by themselves, or {_NAME_ONE}NAME",
                field="tasks",
            )
        (name,) = names
        return name, self._services[name]

    def database_of(self, task_id: UUID) -> str | None:
        """Return the name of a task's database, if it was seen lately."""
        return self._places.of(task_id)

    async def look_up(self, task_id: UUID) -> tuple[Row[object] | None, float | None]:
        """Return one task whole, None if there is none; raises Problem 503 if one that is away may have it."""
        name = await self._name_of(task_id, f"the task {task_id} is in none of the databases that answer")
        return (None, None) if name is None else await self._services[name].look_up(task_id)

    async def page(self, listing: Listing) -> ListPage:
        """Return a page of one database after the other; raises OptionError."""

        async def part(name: str, behind: str | None) -> ListPage:
            return await self.apart[name].page(listing._replace(its=(*listing.its, name), cursor=behind))

        page = await self._walk.page(listing.cursor, part)
        if page.database is not None:
            self._places.note((row.id for row in page.rows), page.database)
        return page

    async def letters(self, listing: LettersListing) -> ListPage:
        """Return a page of dead letters of one database after the other; raises OptionError."""

        async def part(name: str, behind: str | None) -> ListPage:
            return await self.apart[name].letters(listing._replace(cursor=behind))

        return await self._walk.page(listing.cursor, part)

    async def counts(self, task_type: str | None) -> AddedUp:
        """Return the counts of all that answer, added up, and those of each."""
        answers = await self._asking.each({name: its.counts(task_type) for name, its in self.apart.items()})
        answers.require_one()
        apart = {name: one.counts for name, one in answers.given.items()}
        added = sum((Counter(one.counts) for one in apart.values()), Counter())
        limit = min(one.limit for one in apart.values())
        return AddedUp(TypeCounts(dict(added), limit), apart, sorted(answers.away))

    # -- task types --------------------------------------------------------------------------------------

    async def types(self) -> Apart:
        """Return the options in force of all types in each database."""
        return await self._apart({name: its.types() for name, its in self.apart.items()})

    async def configuration(self) -> Apart:
        """Return what is set for each type in each database."""
        return await self._apart({name: its.configuration() for name, its in self.apart.items()})

    async def configuration_of(self, task_type: str) -> Apart:
        """Return what is set for a type in each database; raises Problem 503 if one that is away alone may know it."""
        found = await self._apart({name: its.configuration_of(task_type) for name, its in self.apart.items()})
        if found.away and not found.task_types():
            raise named_away(found.away, f"no database that answers knows the task type {task_type!r}")
        return found

    # -- working -----------------------------------------------------------------------------------------

    @property
    def is_stopping(self) -> bool:
        """Tell whether no hold waits any more."""
        return self._holds.is_stopping

    async def unknown(self, names: Collection[str]) -> list[str]:
        """Return those names that no database that answers knows as types."""
        answers = await self._asking.each({name: its.sort_out(names) for name, its in self._services.items()})
        answers.require_one()
        return sorted(set.intersection(*map(set, answers.given.values())))

    def is_held(self, name: str) -> bool:
        """Tell whether tasks of the type are given to workers anywhere."""
        return any(service.catalogue.is_held(name) for service in self._services.values())

    async def hold(self, worker: str, limits: Mapping[str, int], lease_seconds: float) -> list[Claim]:
        """Claim due tasks up to the limits of all databases together."""
        return await self._holds.hold(worker, limits, lease_seconds)

    async def wait(self, names: Collection[str], seconds: float) -> None:
        """Return when one of the types may have a due task, the time is up, or the service stops."""
        await self._holds.wait(names, seconds)

    async def renew(self, held: Collection[HeldClaim], lease_seconds: float, caller: Token) -> RenewedClaims:
        """Let claims last for another lease; those of databases that do not answer are to be renewed again."""
        where = await self._places.find([one.id for one in held])
        parts = {name: [one for one in held if one.id in set(ids)] for name, ids in where.of.items()}
        answers = await self._asking.each(
            {name: self.apart[name].renew(part, lease_seconds, caller) for name, part in parts.items()}
        )
        placed = {one.id for part in parts.values() for one in part} | where.in_doubt
        lost = [task_id for one in answers.given.values() for task_id in one.lost]
        locked = [task_id for one in answers.given.values() for task_id in one.locked]
        unasked = [one.id for name in answers.away for one in parts[name]]
        gone = [one.id for one in held if one.id not in placed]
        return RenewedClaims([*lost, *gone], [*locked, *unasked, *where.in_doubt])

    async def settle(self, outcomes: Sequence[ClaimOutcome], caller: Token) -> tuple[list[SettledClaim], States]:
        """Write outcomes, in one transaction for each database; those of one that does not answer are as locked."""
        where = await self._places.find([one.held.id for one in outcomes])
        parts = {name: [one for one in outcomes if one.held.id in set(ids)] for name, ids in where.of.items()}
        answers = await self._asking.each({name: self.apart[name].settle(part, caller) for name, part in parts.items()})
        settled = {one.held.id: one for some, _ in answers.given.values() for one in some}
        states = {task_id: row for _, rows in answers.given.values() for task_id, row in rows.items()}
        to_tell_again = where.in_doubt.union(*(where.of[name] for name in answers.away))
        rest = partial(SettledClaim, verdict=None)
        return [
            settled.get(one.held.id) or rest(one.held, is_locked=one.held.id in to_tell_again) for one in outcomes
        ], states

    async def checkpoint(self, held: HeldClaim, stage: str, context: str | None, lease_seconds: float | None) -> None:
        """Write how far the work has come; raises ClaimLostError, or Problem 503 if one that is away may have it."""
        its = await self._database_of(held.id)
        await its.checkpoint(held, stage, context, lease_seconds)

    async def are_own(self, task_id: UUID, caller: Token) -> bool:
        """Tell whether the task is of a type that the caller may use, or gone."""
        return await (await self._database_of(task_id)).are_own(task_id, caller)

    async def states(self, task_id: UUID) -> States:
        """Return the row of a task, if it is there."""
        return await (await self._database_of(task_id)).states(task_id)

    # -- where things are --------------------------------------------------------------------------------

    async def _name_of(self, task_id: UUID, what: str) -> str | None:
        where = await self._places.find([task_id])
        if where.in_doubt:
            raise named_away(where.away, what)
        return next(iter(where.of), None)

    async def _database_of(self, task_id: UUID) -> OneDatabase:
        """Return the database of a task; any of them for one that is gone."""
        name = await self._name_of(task_id, f"where the task {task_id} is cannot be found out")
        return self.apart[name] if name is not None else next(iter(self.apart.values()))

    async def _apart(self, works: Mapping[str, Coroutine[Any, Any, Apart]]) -> Apart:
        answers = await self._asking.each(works)
        answers.require_one()
        return Apart({name: one.of[None] for name, one in answers.given.items()}, sorted(answers.away))
