"""The pre-fork server under test: gunicorn loads a scheduler once and starts it in each worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from gunicorn.app.base import BaseApplication
from sqlalchemy import create_engine

from asyncflow import Scheduler
from asyncflow.events import Event, SchedulerStarted
from tests.chaos.bank import Bank
from tests.chaos.plan import Plan
from tests.chaos.publishers import publisher_of
from tests.chaos.scheduler_process import tell_of
from tests.chaos.telling import die_with_parent, tell

WORKERS = 3


def tell_who(event: Event) -> None:
    """Be a hook that tells which process a scheduler's start belongs to."""
    if isinstance(event, SchedulerStarted):
        tell("at work", pid=os.getpid(), owner=event.owner)


def scheduler_of(plan: Plan) -> Scheduler:
    """Make the scheduler as a module of an application has it: once, before any fork."""
    bank = Bank(create_engine(plan.database_url), plan.topic)
    return Scheduler(
        bank.engine,
        bank.outbox,
        {"kafka": publisher_of(plan.client, plan.bootstrap, on_mock=plan.on_mock)},
        hooks=[tell_of, tell_who],
        lease_seconds=plan.lease_seconds,
        heartbeat_seconds=plan.lease_seconds / 8,
    )


class Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """Serve nothing much over HTTP, from workers in each of which the scheduler runs."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        super().__init__()

    def load_config(self) -> None:
        """Set what a command line would."""
        options: dict[str, Any] = {
            "bind": "127.0.0.1:0",
            "workers": WORKERS,
            "preload_app": True,
            "loglevel": "warning",
            "control_socket_disable": True,
            "post_worker_init": lambda _: self._scheduler.start(),
            "worker_exit": lambda _, __: self._scheduler.stop(),
        }
        for name, value in options.items():
            if name in self.cfg.settings:  # not each version has each of them
                self.cfg.set(name, value)

    def load(self) -> Callable[..., Iterable[bytes]]:
        """Return the WSGI application."""

        def application(_: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
            start_response("204 No Content", [])
            return []

        return application


def main() -> None:
    """Serve until SIGTERM."""
    die_with_parent()
    Server(scheduler_of(Plan.from_environment())).run()


if __name__ == "__main__":
    main()
