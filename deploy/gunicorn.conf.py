"""A pre-fork server with a scheduler in each worker: ``gunicorn --config deploy/gunicorn.conf.py MODULE:APPLICATION``.

The scheduler is made once, at the level of its module, and started in each worker: each is an instance of its own.
"""

from typing import Any

from app import scheduler  # to be changed: where your Scheduler is

preload_app = True
workers = 2
timeout = 60  # a worker that has ended its requests may still be stopping its scheduler
graceful_timeout = 60  # longer than the scheduler's stop_timeout_seconds, which is 30


def post_worker_init(worker: Any) -> None:
    """Start the scheduler in a worker, after the fork."""
    scheduler.start()


def worker_exit(server: Any, worker: Any) -> None:
    """Finish and settle what is in hand, and hand the shards over."""
    scheduler.stop()
