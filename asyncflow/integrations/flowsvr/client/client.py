"""The client of a task service, for producers, workers and administrators."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote
from uuid import UUID

from asyncflow.errors import ServiceAwayError, UnreadableAnswerError
from asyncflow.integrations.flowsvr.client.answers import (
    Created,
    Held,
    Outcome,
    Page,
    Renewed,
    Settled,
    settled_of,
)
from asyncflow.integrations.flowsvr.client.backoff import Backoff
from asyncflow.integrations.flowsvr.client.bodies import given, json_of
from asyncflow.integrations.flowsvr.client.hold_answer import claims_in_text, read_hold
from asyncflow.integrations.flowsvr.client.link import ServiceLink
from asyncflow.integrations.flowsvr.client.settings import ClientSettings
from asyncflow.outbox import Call

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
Ids = set[UUID]


class TaskServiceClient:
    """Speak with a task service; lives until ``close``, any thread may use it.

    ``options`` are the fields of ClientSettings. What may safely be asked twice is asked again for
    ``retry_for_seconds`` when the service is away or too busy.

    Every method raises ServiceAwayError or ServiceRefusedError; those on a claim also ClaimLostError.
    """

    def __init__(self, server: str, *, transport: httpx.BaseTransport | None = None, **options: Any) -> None:
        self.settings = ClientSettings.of(server=server, **options)
        self._link = ServiceLink(self.settings, transport)

    # -- producers ---------------------------------------------------------------------------------------

    def create(
        self,
        task_type: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Created:
        """Create a task; ``options`` are those of ``Call``: key, headers, priority, delay_seconds, run_at, max_retries,
        unique_key.

        It is created once, however often the request must be repeated: an ``idempotency_key`` of the caller's own
        also covers repeated calls. With a ``unique_key`` in its place it is not repeated when the answer got lost:
        asked again, the service finds the task, or creates another if that has ended meanwhile.
        """
        call = Call(arguments or {}, idempotency_key=idempotency_key, **options)
        if call.idempotency_key is None and call.unique_key is None:
            call = replace(call, idempotency_key=str(uuid.uuid4()))
        body = {"task_type": task_type, **json_of(call)}
        safe = call.idempotency_key is not None
        answer = self._repeat(lambda: self._link.request("POST", "/v2/tasks", body), safe=safe)
        return Created(UUID(answer["id"]), answer["created"])

    def create_many(self, task_type: str, calls: Iterable[Call]) -> Sequence[UUID]:
        """Create tasks of one type, all or none; return their ids in order.

        Not repeated when the answer got lost, for the tasks may be there, unless each has an idempotency key.
        """
        calls = list(calls)
        body = {"task_type": task_type, "tasks": [json_of(call) for call in calls]}
        safe = all(call.idempotency_key is not None for call in calls)
        answer = self._repeat(lambda: self._link.request("POST", "/v2/tasks/bulk", body), safe=safe)
        return [UUID(one) for one in answer["ids"]]

    # -- workers -----------------------------------------------------------------------------------------

    def hold(
        self, worker: str, limits: Mapping[str, int], *, lease_seconds: float | None = None, wait_seconds: float = 0.0
    ) -> Held:
        """Claim tasks, of each type up to its limit; without any, the service waits up to ``wait_seconds`` for one.

        Asked once: tasks whose answer got lost are given back when their claims run out. Raises UnreadableAnswerError
        with the claims of those that cannot be read, to be given back.
        """
        body = {"worker": worker, "limits": dict(limits), "wait_seconds": wait_seconds, "lease_seconds": lease_seconds}
        try:
            answer = self._link.request("POST", "/v2/tasks/hold", given(body), wait_seconds=wait_seconds)
        except UnreadableAnswerError as error:
            claims = claims_in_text(error.content)
            raise UnreadableAnswerError(str(error), content=error.content, claims=claims) from error
        return read_hold(answer)

    def renew(self, claims: Collection[tuple[UUID, UUID]], *, lease_seconds: float | None = None) -> Ids:
        """Let claims, pairs of id and token, last for another lease; return the ids of those that are lost."""
        return self.renewed(claims, lease_seconds=lease_seconds).lost

    def renewed(self, claims: Collection[tuple[UUID, UUID]], *, lease_seconds: float | None = None) -> Renewed:
        """Do as ``renew``, and tell as well which could not be renewed for a lock."""
        listed = [{"id": task_id, "token": token} for task_id, token in claims]
        body = given({"claims": listed, "lease_seconds": lease_seconds})
        answer = self._repeat(lambda: self._link.request("POST", "/v2/tasks/renew", body))
        return Renewed({UUID(one) for one in answer["lost"]}, {UUID(one) for one in answer.get("locked", ())})

    def set(self, outcomes: Iterable[Outcome]) -> Sequence[Settled]:
        """Tell what became of held tasks; return of each whether it was written, in order.

        One that was written and is told again, because the answer got lost, is not settled a second time, and counts
        as written if it is as the outcome leaves it.
        """
        told = list(outcomes)
        body = {"outcomes": [outcome.as_json() for outcome in told]}
        times = 0

        def ask() -> Any:
            nonlocal times
            times += 1
            return self._link.request("POST", "/v2/tasks/set", body)

        results = self._repeat(ask)["results"]
        return [settled_of(one, outcome, is_repeated=times > 1) for one, outcome in zip(results, told, strict=True)]

    def set_one(self, outcome: Outcome) -> str:
        """Tell what became of one held task; return its status. Raises ClaimLostError."""
        body = outcome.as_json()
        path = f"/v2/tasks/{body.pop('id')}/outcome"
        answer = self._repeat(lambda: self._link.request("PUT", path, body))
        status: str = answer["status"]
        return status

    def checkpoint(
        self,
        task_id: UUID,
        token: UUID,
        stage: str,
        context: Any = None,
        *,
        lease_seconds: float | None = None,
        retry_for_seconds: float | None = None,
    ) -> None:
        """Write how far the work on a held task has come; with a lease, renew its claim. Raises ClaimLostError."""
        body = given({"token": token, "stage": stage, "context": context, "lease_seconds": lease_seconds})
        path = f"/v2/tasks/{task_id}/checkpoint"
        self._repeat(lambda: self._link.request("PUT", path, body), retry_for_seconds)

    # -- looking -----------------------------------------------------------------------------------------

    def get(self, task_id: UUID | str) -> Any:
        """Return the whole state of a task."""
        return self._get(f"/v2/tasks/{task_id}")

    def list(
        self,
        *,
        task_type: str | None = None,
        status: str | None = None,
        key: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Return one page of tasks; ``cursor`` is the ``next`` of the page before."""
        query = {"task_type": task_type, "status": status, "key": key, "limit": limit, "cursor": cursor}
        answer = self._get("/v2/tasks", query)
        return Page(answer["tasks"], answer["next"], answer.get("away", ()))

    def list_all(self, **filters: Any) -> Iterator[Mapping[str, Any]]:
        """Return all tasks of a list, page after page as they are asked for.

        Raises ServiceAwayError behind the last one if databases of a service of several are left out.
        """
        page = self.list(**filters)
        away = [*page.away]
        yield from page.tasks
        while page.next is not None:
            page = self.list(**{**filters, "cursor": page.next})
            away += page.away
            yield from page.tasks
        if away:
            raise ServiceAwayError(f"the list is without the tasks of {', '.join(away)}: away")

    def counts(self) -> Any:
        """Return the bounded number of tasks of each type and status."""
        return self._get("/v2/counts")

    def is_ready(self) -> bool:
        """Tell whether the service is up and has its database."""
        try:
            self._link.request("GET", "/readyz")
        except ServiceAwayError:
            return False
        return True

    # -- configuring -------------------------------------------------------------------------------------

    def task_types(self) -> Any:
        """Return the task types that the service knows."""
        return self._get("/v2/task-types")

    def register(self, task_type: str, **options: Any) -> Any:
        """Make a task type known to the service, with options of its configuration."""
        path = f"/v2/task-types/{quote(task_type, safe='')}"
        return self._repeat(lambda: self._link.request("PUT", path, options))

    def configuration(self, task_type: str | None = None) -> Any:
        """Return the configuration of a task type, or of all."""
        return self._get(_configuration_path(task_type))

    def configure(self, task_type: str, **options: Any) -> Any:
        """Change the configuration of a task type; schedulers and services take it over while they run."""
        return self._repeat(lambda: self._link.request("PUT", _configuration_path(task_type), options))

    def forget_configuration(self, task_type: str) -> None:
        """Let a task type have the options of its declaration again."""
        self._repeat(lambda: self._link.request("DELETE", _configuration_path(task_type)))

    # -- dead letters ------------------------------------------------------------------------------------

    def dead_letters(self, **filters: Any) -> Any:
        """Return FAILED tasks, by task_type, key, limit and cursor."""
        return self._get("/v2/dead-letters", filters)

    def replay(self, **which: Any) -> int:
        """Put FAILED tasks back to PENDING, by ids, or by task_type or key, at most ``per_second``; return how many."""
        return self._on_dead_letters("replay", which)

    def cancel(self, **which: Any) -> int:
        """Make FAILED tasks CANCELLED; return how many."""
        return self._on_dead_letters("cancel", which)

    def discard(self, **which: Any) -> int:
        """Delete FAILED tasks; return how many."""
        return self._on_dead_letters("discard", which)

    def close(self) -> None:
        """Close the connections."""
        self._link.close()

    def __enter__(self) -> TaskServiceClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        return self._repeat(lambda: self._link.request("GET", path, query=query))

    def _on_dead_letters(self, verb: str, which: Mapping[str, Any]) -> int:
        # The answer of a replay that took effect must not be that of its repetition.
        answer = self._repeat(lambda: self._link.request("POST", f"/v2/dead-letters/{verb}", which), safe=False)
        count: int = answer["count"]
        return count

    def _repeat(self, ask: Callable[[], T], for_seconds: float | None = None, *, safe: bool = True) -> T:
        """Ask until the service answers or the time is over; what is not ``safe`` only while it cannot have worked."""
        backoff = Backoff(self.settings.min_backoff_seconds, self.settings.max_backoff_seconds)
        until = time.monotonic() + (self.settings.retry_for_seconds if for_seconds is None else for_seconds)
        while True:
            try:
                return ask()
            except ServiceAwayError as error:
                pause = backoff.after(error)
                if time.monotonic() + pause > until or (error.may_have_worked and not safe):
                    raise
            time.sleep(pause)


def _configuration_path(task_type: str | None) -> str:
    return "/v2/configuration" + ("" if task_type is None else f"/{quote(task_type, safe='')}")
