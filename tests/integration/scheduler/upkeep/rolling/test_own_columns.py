"""A column of the application's own, declared when numbered tables are there already, hides and stops nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from asyncflow import Done, Outbox, RollOver, Status, TaskMixin
from asyncflow.events import RollOverHeldUp
from asyncflow.scheduler import DeadLetters
from asyncflow.scheduler.operator.task_view import TaskView
from tests.integration.scheduler.upkeep.rolling.conftest import ROWS, Rolled, clean, cleaning, finish
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application


class WithTenant(Rolled):
    """Map the task table with a column more, as the next version of an application."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, has_tables=True)

        class Base(DeclarativeBase):
            pass

        class OutboxTask(TaskMixin, Base):
            tenant: Mapped[str | None] = mapped_column(String(40))

        self.outbox = Outbox(Base.metadata, roll_over=RollOver(rows=ROWS, after=timedelta(0), keep=timedelta(days=1)))
        self.outbox.message("user.registered")
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE asyncflow_task ADD COLUMN tenant VARCHAR(40)"))


def roll(application: Application) -> None:
    with cleaning(application) as cleaner:
        for _ in range(4):
            clean(cleaner)


@pytest.fixture
def moved_before(rolled: Rolled) -> list[UUID]:
    """Give what was moved by the version before."""
    ids = publish_many(rolled, 3, key="A1")
    finish(rolled)
    roll(rolled)
    return ids


def test_every_look_up_finds_what_was_moved_before_the_column_was_declared(
    engine: Engine, moved_before: list[UUID]
) -> None:
    outbox = WithTenant(engine).outbox
    task_id = moved_before[0]
    with engine.connect() as connection:
        wanted: dict[str, Any]
        for wanted in ({}, {"key": "A1"}, {"status": Status.SUCCESS}, {"ids": moved_before}):
            assert sorted(task.id for task in outbox.find(connection, **wanted)) == moved_before
        assert outbox.result(connection, task_id) == Done()
        row = TaskView(outbox).one(connection, task_id)
        assert row is not None
    assert DeadLetters(engine, outbox).inspect(task_id).status is Status.SUCCESS


def test_the_column_that_tables_lack_is_told_and_once_it_is_added_the_move_goes_on(
    engine: Engine, moved_before: list[UUID]
) -> None:
    application = WithTenant(engine)
    ids = publish_many(application, 2)
    finish(application, ids)
    roll(application)
    assert {row.id for row in application.rows()} == {*ids}
    reasons = [held.reason for held in application.signals.of(RollOverHeldUp)]
    changes = [f"ALTER TABLE asyncflow_task_{number} ADD COLUMN tenant VARCHAR(40)" for number in (1, 2)]
    assert any(reason.endswith(f": {'; '.join(changes)}") for reason in reasons)
    with engine.begin() as connection:
        for change in changes:
            connection.execute(text(change))
    roll(application)
    assert application.rows() == []
    assert application.ids_in(1) == {*moved_before, *ids}
