"""Have texts spoken, kill the worker in the middle of it, and see it go on: ``python -m examples.text_to_speech``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, func, select

from asyncflow import Call, Status
from examples.text_to_speech.renderer import Renderer

TEXTS = {
    "hello": "Hello.",
    "weather": "Tonight it will rain.",
    "news": "Nothing has happened, and it will be told at eight.",
}
PATIENCE_SECONDS = 120.0
CHECKOUT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Play it; return 0 if every text was spoken and no job was ordered twice."""
    renderer = Renderer()
    with tempfile.TemporaryDirectory(prefix="asyncflow-speech-") as directory:
        os.environ |= {
            "SPEECH_SERVICE": renderer.address,
            "SPEECH_BUCKET": directory,
            "SPEECH_DATABASE_URL": f"sqlite:///{directory}/speech.db",
        }
        try:
            return _play(Path(directory), renderer)
        finally:
            renderer.close()


def _play(bucket: Path, renderer: Renderer) -> int:
    from examples.text_to_speech import speech  # reads the environment that was just made

    engine = speech.open_engine()
    speech.metadata.create_all(engine)
    with engine.begin() as connection:
        calls = [Call({"text": text}, key=name) for name, text in TEXTS.items()]
        speech.outbox.enqueue_many(connection, speech.render, calls)
    print(f"{len(TEXTS)} texts are to be spoken; a worker starts")
    with _worker() as worker:
        _await(lambda: any(bucket.glob("*.part")))
        worker.kill()
        worker.wait()
    print(f"the worker is killed (SIGKILL) in the middle of an upload: {_stages(engine)}; another one starts")
    with _worker() as worker:
        _await(lambda: _count(engine, Status.SUCCESS, Status.FAILED) == len(TEXTS))
        worker.terminate()
        worker.wait()
    spoken = sorted(path.stem for path in bucket.glob("*.wav"))
    print(f"{len(spoken)} of {len(TEXTS)} texts were spoken, with {renderer.orders} jobs at the rendering service")
    engine.dispose()
    return 0 if spoken == sorted(TEXTS) and renderer.orders == len(TEXTS) else 1


def _worker() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "asyncflow.cli", "run", "examples.text_to_speech.speech:scheduler"]
    # What it logs is for operators; what its handler prints is the example.
    return subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.DEVNULL)


def _await(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"not within {PATIENCE_SECONDS:.0f} s; see it with `asyncflow status`")
        time.sleep(0.05)


def _stages(engine: Engine) -> str:
    from examples.text_to_speech import speech

    tasks = speech.outbox.tasks
    with engine.connect() as connection:
        rows = connection.execute(select(tasks.c.task_key, tasks.c.stage).order_by(tasks.c.id))
        return ", ".join(f"{key} is {stage or 'new'}" for key, stage in rows)


def _count(engine: Engine, *statuses: Status) -> int:
    from examples.text_to_speech import speech

    tasks = speech.outbox.tasks
    wanted = select(func.count()).select_from(tasks).where(tasks.c.status.in_([int(one) for one in statuses]))
    with engine.connect() as connection:
        return connection.execute(wanted).scalar_one()


if __name__ == "__main__":
    sys.exit(main())
