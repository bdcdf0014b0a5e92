"""The task types that there are: declared here, set in the table, or found in rows."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Engine

from asyncflow.outbox import Outbox, Status
from asyncflow.scheduler.configuration.configurations import Configurations
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.heads.queries import read_types


def known_types(engine: Engine, outbox: Outbox) -> set[str]:
    """Return their names; what another process declares is among them once it has rows or is set."""
    found = {*outbox.task_types, *outbox.handler_types, *Configurations(engine, outbox).all()}
    for status in Status:
        found.update(run_briefly(engine, partial(read_types, tasks=outbox.tasks, status=status)))
    return found
