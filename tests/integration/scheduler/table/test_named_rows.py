"""A statement on rows that it names waits for no other row, however few are in the status that it asks for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, Integer, Table, select, text

from asyncflow import Status
from asyncflow.outbox.dialects.raw_ids import raw_id
from asyncflow.outbox.tables import TaskId
from asyncflow.scheduler.operator import queries as by_operator
from asyncflow.scheduler.relay import queries as of_relay
from asyncflow.scheduler.relay.keys import queries as of_keys
from asyncflow.scheduler.table import queries as of_all
from asyncflow.scheduler.upkeep import stray_queries
from asyncflow.scheduler.worker.claiming import queries as of_worker
from asyncflow.scheduler.worker.rescuing import queries as of_rescue
from tests.integration.scheduler.writing import alter, publish_many
from tests.support.application import Application

Work = Callable[[Connection, Table, list[Any]], object]

on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
IMPATIENT = {"mysql": "SET SESSION innodb_lock_wait_timeout = 1", "postgresql": "SET lock_timeout = '1s'"}
STATEMENTS: dict[str, tuple[Status, Callable[[Table], Any]]] = {
    "retry": (Status.PENDING, of_relay.settle_retried),
    "fail": (Status.PENDING, of_relay.settle_failed),
    "claim": (Status.PENDING, of_worker.claim),
    "claim_fresh": (Status.PENDING, of_worker.claim_fresh),
    "begin": (Status.PROCESSING, of_worker.begin),
    "renew": (Status.PROCESSING, of_worker.renew),
    "renew_heard": (Status.PROCESSING, of_worker.renew_heard),
    "hear": (Status.PROCESSING, of_worker.hear),
    "checkpoint": (Status.PROCESSING, of_worker.checkpoint),
    "processing": (Status.PROCESSING, lambda tasks: of_worker.processing(tasks, locks=True)),
    "succeed": (Status.PROCESSING, of_worker.succeed),
    "lock_held": (Status.PROCESSING, of_worker.lock_held),
    "delete_handled": (Status.PROCESSING, of_worker.delete_succeeded),
    "postpone": (Status.PROCESSING, of_worker.postpone),
    "end": (Status.PROCESSING, of_worker.end),
    "give_back": (Status.PROCESSING, of_rescue.give_back),
    "end_ran_out": (Status.PROCESSING, of_rescue.end_ran_out),
    "take_back": (Status.PROCESSING, of_rescue.take_back),
    "end_taken": (Status.PROCESSING, of_rescue.end_taken),
    "give_back_ahead": (Status.PROCESSING, of_rescue.give_back_ahead),
    "end_ahead": (Status.PROCESSING, of_rescue.end_ahead),
    "lock": (Status.FAILED, lambda tasks: by_operator.lock(tasks, (int(Status.FAILED),))),
    "replay": (Status.FAILED, by_operator.replay),
    "cancel": (Status.FAILED, by_operator.cancel),
    "discard": (Status.FAILED, by_operator.discard),
    "clean": (Status.SUCCESS, lambda tasks: of_all.delete_in_status(tasks, int(Status.SUCCESS))),
    "lock_free": (Status.PENDING, lambda tasks: of_all.lock_free(tasks, skip_locked=False)),
    "put_back": (Status.PENDING, stray_queries.put_back),
    "put_back_in_order": (Status.PENDING, stray_queries.put_back_in_order),
    "move": (Status.PENDING, of_all.move),
}
FUNCTIONS: dict[str, Work] = {
    "settle_succeeded": of_relay.settle_succeeded,
    "delete_succeeded": of_relay.delete_succeeded,
    "set_aside": of_keys.set_aside,
}


def anything(name: str, column_type: Any, *, several: bool) -> Any:
    """Return a value that a parameter takes, and no row has."""
    if name in ("delay", "lease"):
        return timedelta(seconds=1)
    kinds = {Integer: int(Status.FAILED), TaskId: uuid4()}
    value = next((one for kind, one in kinds.items() if isinstance(column_type, kind)), "none")
    return [value] if several else value


def values_for(statement: Any, engine: Engine, named: list[Any]) -> dict[str, Any]:
    """Return a value for each parameter of a statement, the ids among them."""
    binds = statement.compile(engine).binds
    given = {name: anything(name, one.type, several=one.expanding) for name, one in binds.items() if one.required}
    return {**given, "ids": named}


@pytest.fixture
def named(application: Application) -> list[Any]:
    """Give the raw ids of 300 rows that are SUCCESS, but for the last three."""
    publish_many(application, 303)
    tasks = application.outbox.tasks
    alter(application, f"status = {int(Status.SUCCESS)}")
    return application.rows(select(raw_id(tasks.c.id)).order_by(tasks.c.id))


@on_servers
@pytest.mark.parametrize("name", [*STATEMENTS, *FUNCTIONS])
def test_a_lock_on_another_row_holds_up_no_statement(application: Application, named: list[Any], name: str) -> None:
    tasks, engine = application.outbox.tasks, application.engine
    status, make = STATEMENTS.get(name, (Status.PENDING, None))
    ids = [row[0] for row in named]
    others = [row.id for row in application.rows()][-3:]
    with engine.begin() as connection:
        left = Status.FAILED if status == Status.SUCCESS else Status.SUCCESS
        connection.execute(tasks.update().values(status=int(left)))
        connection.execute(tasks.update().where(tasks.c.id.in_(others)).values(status=int(status)))
    with engine.connect() as holder, engine.connect() as waiter:
        waiter = waiter.execution_options(isolation_level="READ COMMITTED")
        waiter.execute(text(IMPATIENT[engine.dialect.name]))
        for other in others:
            holder.execute(select(tasks.c.id).where(tasks.c.id == other).with_for_update())
        if make is None:
            FUNCTIONS[name](waiter, tasks, ids[:-3])
        else:
            statement = make(tasks)
            waiter.execute(statement, values_for(statement, engine, ids[:-3]))
        waiter.rollback()
        waiter.invalidate()
