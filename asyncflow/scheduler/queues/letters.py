"""Letters: claimed tasks on their way to a worker, each a line of JSON, and the payload as it stands in the row."""

from __future__ import annotations

import time
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from asyncflow.outbox import Task
from asyncflow.scheduler.worker.claiming.claim import Claim

VERSION = 1


class Letter(NamedTuple):
    """Hold what has come: the claim, but for how long it lasts, and how many seconds were left of it at the sending."""

    task: Task
    token: UUID
    stage: str | None
    context: str | None  # as JSON
    seconds_left: float

    def claim(self, seconds_on_way: float) -> Claim | None:
        """Return the claim; None if it may have run out meanwhile, so that somebody else may have the task."""
        left = self.seconds_left - seconds_on_way
        if left <= 0:
            return None
        return Claim(self.task, self.token, self.stage, self.context, time.monotonic() + left)


def seconds_left_of(claim: Claim) -> float:
    """Return for how long a claim certainly lasts from now on."""
    return claim.held_until - time.monotonic()


def letter_of(claim: Claim) -> bytes:
    """Write down a claim."""
    task = claim.task
    head = {
        "v": VERSION,
        "id": str(task.id),
        "token": str(claim.token),
        "task_type": task.task_type,
        "key": task.key,
        "headers": task.headers_json,
        "retry_count": task.retry_count,
        "max_retries": task.max_retries,
        "stage": claim.stage,
        "context": claim.context,
        "seconds_left": seconds_left_of(claim),
    }
    return orjson.dumps(head) + b"\n" + bytes(task.payload or b"{}")


def read_letter(body: bytes) -> Letter:
    """Read a letter; raises ValueError for what is none that we can read."""
    line, _, payload = body.partition(b"\n")
    head: Any = orjson.loads(line)
    if not isinstance(head, dict) or head.get("v") != VERSION:
        raise ValueError(f"it is no letter of version {VERSION}, which is the one that this worker reads")
    try:
        texts = [_text(head[name]) for name in ("key", "headers", "stage", "context")]
        key, headers, stage, context = texts
        counts = int(head["retry_count"]), int(head["max_retries"])
        # Which shard it is of matters to nobody here.
        task = Task(UUID(head["id"]), str(head["task_type"]), 0, key, headers, payload, *counts)
        return Letter(task, UUID(head["token"]), stage, context, float(head["seconds_left"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a field of the letter is missing or of another form: {error!r}") from error


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value
