"""An application whose finished tasks roll over at once, and what rolls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, Table, select

from asyncflow import RollOver, Status
from asyncflow.scheduler.upkeep.cleaner import Cleaner
from asyncflow.scheduler.upkeep.rolling import keeper
from tests.integration.conftest import end_threads
from tests.support.application import Application

ROWS = 100
Roll = Callable[..., Cleaner]


class Rolled(Application):
    """Have finished tasks roll over, a hundred to a table."""

    def __init__(self, engine: Engine, *, has_tables: bool = False, **options: Any) -> None:
        given = {"rows": ROWS, "after": timedelta(0), "keep": timedelta(days=1), **options}
        super().__init__(engine, has_tables=has_tables, roll_over=RollOver(**given))

    @property
    def positions(self) -> Table:
        assert self.outbox.numbered_tables is not None
        return self.outbox.numbered_tables.positions

    def numbers(self) -> dict[int, tuple[int, str]]:
        """Return of each numbered table how many rows were counted in, and what it is."""
        p = self.positions.c
        rows = self.rows(select(p.number, p.row_count, p.opened_at, p.closed_at, p.forgotten_at).order_by(p.number))
        return {row.number: (row.row_count, _state(row)) for row in rows}

    def ids_in(self, number: int) -> set[Any]:
        """Return the ids of the rows of a numbered table."""
        assert self.outbox.numbered_tables is not None
        table = self.outbox.numbered_tables.table(number)
        return {row.id for row in self.rows(select(table.c.id))}


def _state(row: Any) -> str:
    if row.forgotten_at is not None:
        return "forgotten"
    return "ahead" if row.opened_at is None else "open" if row.closed_at is None else "closed"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no step of the tables wait for the one before."""
    for name in ("_PAUSE_SECONDS", "_PATIENCE_SECONDS", "GRACE_SECONDS"):
        monkeypatch.setattr(keeper, name, 0.0)


@pytest.fixture
def rolled(engine: Engine) -> Rolled:
    """Give an application on an empty database."""
    return Rolled(engine)


@pytest.fixture
def roll() -> Iterator[Roll]:
    """Roll until there is nothing to move, and the tables are as they are to be; return the cleaner."""
    made: list[Cleaner] = []
    with ExitStack() as until:

        def roll(application: Application, steps: int = 8) -> Cleaner:
            if not made:
                made.append(until.enter_context(cleaning(application)))
            for _ in range(steps):
                clean(made[0])
            return made[0]

        yield roll


@contextmanager
def cleaning(application: Application, **options: Any) -> Iterator[Cleaner]:
    """Give the cleaner of a scheduler that owns its shards and runs nothing; both end with the block."""
    scheduler = application.scheduler(cleaning_pause_seconds=0.001, **options)
    scheduler.ownership.acquire()
    try:
        yield scheduler.machinery.staff.cleaner
    finally:
        scheduler.machinery.give_shares_back()
        scheduler.stop(timeout_seconds=10)
        end_threads(scheduler)


def clean(cleaner: Cleaner) -> None:
    """Step until a run is over."""
    while cleaner.step() < 1:
        pass


def finish(application: Application, ids: list[Any] | None = None, status: Status = Status.SUCCESS) -> None:
    """Let tasks be over, as a relay or a worker writes it."""
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        those = tasks.update().where(tasks.c.status == int(Status.PENDING) if ids is None else tasks.c.id.in_(ids))
        connection.execute(those.values(status=int(status), order_time=timedelta(seconds=-1)))
