"""The task: order a rendering, come back until it is done, upload the sound. Each step is a stage.

asyncflow run examples.text_to_speech.speech:scheduler
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, create_engine, event

from asyncflow import NotDone, Outbox, Scheduler, TaskContext

SERVICE = os.environ.get("SPEECH_SERVICE", "http://127.0.0.1:8000")
BUCKET = Path(os.environ.get("SPEECH_BUCKET", "."))
PARTS = 8  # in which a sound is uploaded
PART_SECONDS = 0.1
POLL_SECONDS = 0.4

metadata = MetaData()
outbox = Outbox(metadata)


@outbox.task("speech.render", concurrency=4, retry_interval_seconds=0.5)
def render(text: str, ctx: TaskContext) -> None:
    """Turn a text into sound; a later attempt, in whatever process, begins at the stage that was reached."""
    if ctx.attempt > 1:
        _tell(ctx, f"resumes at its stage {ctx.stage!r}")
    if ctx.stage is None:
        _tell(ctx, "is ordered")
        # The task's id names the job: ordered again after a crash before the checkpoint, it is the same job.
        job = _ask("PUT", f"/jobs/{ctx.id}", {"text": text})["job"]
        ctx.checkpoint(stage="ordered", context={"job": job})
    if ctx.stage == "ordered":
        done = _ask("GET", f"/jobs/{ctx.context['job']}")["done"]
        _tell(ctx, f"is {done:.0%} rendered")
        if done < 1:
            raise NotDone(POLL_SECONDS, f"{done:.0%} rendered")  # comes back; no thread waits, no attempt is spent
        ctx.checkpoint(stage="rendered", context=ctx.context)
    _upload(ctx, _fetch(f"/jobs/{ctx.context['job']}/audio"))
    _tell(ctx, f"is done: {ctx.key}.wav")


def _upload(ctx: TaskContext, sound: bytes) -> None:
    """Write the sound part by part, which takes its time, and name it when it is whole."""
    part, size = BUCKET / f"{ctx.key}.part", -(-len(sound) // PARTS)
    with part.open("wb") as file:
        for number in range(PARTS):
            file.write(sound[number * size : (number + 1) * size])
            time.sleep(PART_SECONDS)
            if number == PARTS // 2:
                _tell(ctx, "is half uploaded")
    part.rename(BUCKET / f"{ctx.key}.wav")


def _ask(method: str, path: str, body: Any = None) -> Any:
    return json.loads(_fetch(path, method, None if body is None else json.dumps(body).encode()))


def _fetch(path: str, method: str = "GET", body: bytes | None = None) -> bytes:
    request = urllib.request.Request(SERVICE + path, body, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def _tell(ctx: TaskContext, what: str) -> None:
    print(f"  [worker {os.getpid()}] {ctx.key} (attempt {ctx.attempt}) {what}", flush=True)


def open_engine() -> Engine:
    """Open the database; on SQLite several processes write by turns."""
    engine = create_engine(os.environ.get("SPEECH_DATABASE_URL", "sqlite:///speech.db"))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=10000"))
    return engine


def scheduler() -> Scheduler:
    """Make the scheduler; it notices the death of another worker within a second or two."""
    return Scheduler(
        open_engine(),
        outbox,
        publishers={},
        lease_seconds=1.5,
        heartbeat_seconds=0.3,
        claim_lease_seconds=1.5,
        monitor_interval_seconds=0.3,
    )
