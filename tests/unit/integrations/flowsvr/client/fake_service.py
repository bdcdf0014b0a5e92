"""A task service in memory, as far as a client can tell, with faults on demand."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import httpx
import orjson

from asyncflow.events import Hook
from asyncflow.integrations.flowsvr.client import ServiceWorker, TaskServiceClient
from asyncflow.outbox import Outbox
from asyncflow.testing import Signals

TOKEN = "secret-1"
FAST = {"min_backoff_seconds": 0.01, "max_backoff_seconds": 0.05, "min_pause_seconds": 0.005, "max_pause_seconds": 0.02}


class FakeService:
    """Answer requests by the contract; a fault, once or while ``is_away``, takes the place of an answer."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.faults: dict[str, deque[httpx.Response | Exception]] = {}
        self.garblings: deque[Callable[[bytes], bytes]] = deque()
        self.is_away = False
        self.most_wait_seconds = 0.3
        self.changed = threading.Condition()

    def add(self, task_type: str, *, max_retries: int = 3, **arguments: Any) -> str:
        with self.changed:
            task_id = str(uuid.uuid4())
            self.tasks[task_id] = {
                "id": task_id, "task_type": task_type, "key": None, "arguments": arguments, "headers": {},
                "attempt": 0, "max_retries": max_retries, "stage": None, "context": None, "token": None,
                "status": "PENDING", "due": 0.0,
            }  # fmt: skip
            self.changed.notify_all()
            return task_id

    def take_away(self) -> None:
        """Let every claim be lost."""
        with self.changed:
            for task in self.tasks.values():
                task["token"] = str(uuid.UUID(int=1))

    def fail(self, path: str, *faults: httpx.Response | Exception) -> None:
        """Answer the next requests to ``path`` with these."""
        self.faults.setdefault(path, deque()).extend(faults)

    def garble(self, *garblings: Callable[[bytes], bytes]) -> None:
        """Change the next answers that give tasks, which are claimed all the same."""
        self.garblings.extend(garblings)

    def attempts(self) -> list[int]:
        return [task["attempt"] for task in self.tasks.values()]

    def statuses(self) -> list[str]:
        return [task["status"] for task in self.tasks.values()]

    def wait_for(self, *statuses: str, timeout_seconds: float = 60.0) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.statuses() == list(statuses), timeout_seconds), self.tasks

    def sent(self, path: str) -> list[Any]:
        """Return the bodies of the requests to a path."""
        return [body for _, its_path, body in list(self.requests) if its_path == path]

    def client(self, **options: Any) -> TaskServiceClient:
        options = {"token": TOKEN, "retry_for_seconds": 60.0, **FAST, **options}
        return TaskServiceClient("http://service", transport=httpx.MockTransport(self.answer), **options)

    def worker(self, target: Any, hook: Hook | None = None, **options: Any) -> ServiceWorker:
        options = {"token": TOKEN, "wait_seconds": 0.3, "stop_timeout_seconds": 60.0, **FAST, **options}
        transport = httpx.MockTransport(self.answer)
        return ServiceWorker(target, "http://service", transport=transport, hooks=[hook or Signals()], **options)

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content) if request.content else dict(request.url.params)
        path = request.url.path
        self.requests.append((request.method, path, body))
        if self.is_away:
            raise httpx.ConnectError("nobody listens", request=request)
        fault = self.faults.get(path)
        if fault:
            one = fault.popleft()
            if isinstance(one, Exception):
                raise one
            return one
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return problem(401, "the token is unknown")
        if path == "/v2/tasks/hold":
            return self._hold(body)
        with self.changed:
            answer = self._answer(request.method, path, body)
            self.changed.notify_all()
        return answer

    def _answer(self, method: str, path: str, body: Any) -> httpx.Response:
        if path == "/v2/tasks/renew":
            lost = [one["id"] for one in body["claims"] if not self._is_held(one["id"], one["token"])]
            return httpx.Response(200, json={"lost": lost})
        if path == "/v2/tasks/set":
            return httpx.Response(200, json={"results": [self._settle(one) for one in body["outcomes"]]})
        if path.endswith("/outcome"):
            result = self._settle({"id": path.split("/")[3], **body})
            return httpx.Response(200 if result["settled"] else 409, json=result)
        if path.endswith("/checkpoint"):
            task = self.tasks[path.split("/")[3]]
            if not self._is_held(task["id"], body["token"]):
                return problem(409, "the claim is lost")
            task |= {"stage": body["stage"], "context": body.get("context")}
            return httpx.Response(200, json={})
        if path == "/v2/tasks" and method == "POST":
            return self._create(body)
        return httpx.Response(200, json={"method": method, "path": path, "body": body})

    def _create(self, body: Any) -> httpx.Response:
        for task in self.tasks.values():
            if task.get("idempotency_key") == body["idempotency_key"]:
                return httpx.Response(200, json={"id": task["id"], "created": False})
        task_id = self.add(body["task_type"], **body["arguments"])
        self.tasks[task_id] |= {"idempotency_key": body["idempotency_key"], "created_by": body}
        return httpx.Response(201, json={"id": task_id, "created": True})

    def _hold(self, body: Any) -> httpx.Response:
        until = time.monotonic() + min(body.get("wait_seconds", 0), self.most_wait_seconds)
        with self.changed:
            while not (due := self._due(body["limits"])) and time.monotonic() < until:
                self.changed.wait(0.01)
            for task in due:
                task |= {"status": "PROCESSING", "attempt": task["attempt"] + 1, "token": str(uuid.uuid4())}
            self.changed.notify_all()
            tasks = [{**task, "status": None} for task in due]
        answer = httpx.Response(200, json={"tasks": tasks, "lease_seconds": body.get("lease_seconds", 30.0)})
        if tasks and self.garblings:
            return httpx.Response(200, content=self.garblings.popleft()(answer.content))
        return answer

    def _due(self, limits: dict[str, int]) -> list[dict[str, Any]]:
        found = []
        for name, limit in limits.items():
            pending = [task for task in self.tasks.values() if task["task_type"] == name and self._is_due(task)]
            found += pending[:limit]
        return found

    @staticmethod
    def _is_due(task: dict[str, Any]) -> bool:
        return bool(task["status"] == "PENDING" and task["due"] <= time.monotonic())

    def _is_held(self, task_id: str, token: str) -> bool:
        task = self.tasks.get(task_id)
        return bool(task and task["status"] == "PROCESSING" and task["token"] == token)

    def _settle(self, one: dict[str, Any]) -> dict[str, Any]:
        task = self.tasks[one["id"]]
        if not self._is_held(one["id"], one["token"]):
            return {"id": one["id"], "settled": False, "status": task["status"]}
        name, status = one["outcome"], "PENDING"
        if name in ("not_done", "given_back"):
            task["attempt"] -= 1
        elif name == "retry":
            status = "FAILED" if task["attempt"] > task["max_retries"] else "PENDING"
        else:
            status = {"success": "SUCCESS", "failed": "FAILED", "cancelled": "CANCELLED"}[name]
        task |= {"status": status, "token": None, "due": time.monotonic() + one.get("delay_seconds", 0.0)}
        return {"id": one["id"], "settled": True, "status": status}


def problem(status: int, title: str, **headers: str) -> httpx.Response:
    """Return an answer by RFC 9457."""
    content = orjson.dumps({"title": title, "status": status, "detail": "so says the test"})
    return httpx.Response(status, content=content, headers={"content-type": "application/problem+json", **headers})


def small_outbox() -> Outbox:
    from sqlalchemy import MetaData

    return Outbox(MetaData())
