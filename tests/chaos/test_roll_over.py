"""Tables roll over while producers and schedulers are killed: nothing is lost, and nobody meets a dropped table."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, inspect

from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long
from tests.chaos.plan import Plan
from tests.chaos.process import ProcessUnderTest
from tests.chaos.rolling_process import ROWS, Warehouse
from tools.services.process import wait_until

_PROCESS = "tests.chaos.rolling_process"
_KILLS = {"short": 3, "long": 60}
_MISSING = ("no such table", "1146", "UndefinedTable", "doesn't exist", "does not exist")
_MOST_TABLES = 12  # open, ahead, and those that are closed or forgotten while nobody keeps them


class RollOverRun:
    """Start processes, kill them, and count what they told; all end with it."""

    def __init__(self, engine: Engine, until: ExitStack) -> None:
        url = engine.url.render_as_string(hide_password=False)
        self._plan = Plan(database_url=url, bootstrap="", topic="", client="", on_mock=True)
        self._until = until
        self.processes: list[ProcessUnderTest] = []

    def start(self, *arguments: str) -> ProcessUnderTest:
        """Start a process and wait until it is at work."""
        process = self._until.enter_context(ProcessUnderTest((_PROCESS, *arguments), self._plan))
        self.processes.append(process)
        process.wait_for(lambda: bool(process.of("started")))
        return process

    def told(self, kind: str) -> list[dict[str, object]]:
        """Return what all of them told of one kind."""
        return [event for process in self.processes for event in process.of(kind)]


@pytest.fixture
def run(engine: Engine) -> Iterator[RollOverRun]:
    """Give a run on an empty database."""
    Warehouse(engine).Base.metadata.create_all(engine)
    with ExitStack() as until:
        yield RollOverRun(engine, until)


@in_short_and_long
def test_producers_and_schedulers_are_killed_while_tables_roll_over_and_each_order_is_delivered_once(
    form: str, run: RollOverRun, engine: Engine, finding: Tell
) -> None:
    chance = random.Random()
    warehouse = Warehouse(engine)
    writer, scheduler = run.start("write", "w0"), run.start("schedule")
    for number in range(_KILLS[form]):
        scheduler.wait_for_next_event(chance.uniform(0.2, 1.5))
        if number % 3 == 2:
            writer.kill()
            writer = run.start("write", f"w{number + 1}")
        else:
            scheduler.kill()
            scheduler = run.start("schedule")
    dropped = len(run.told("dropped"))
    scheduler.wait_for(lambda: len(run.told("dropped")) > dropped)
    assert writer.dismiss() == 0
    wait_until(lambda: _is_done(warehouse) and len(_numbered(engine)) <= _MOST_TABLES, 240.0)
    assert scheduler.dismiss() == 0

    orders, deliveries = warehouse.numbers(warehouse.Order), warehouse.numbers(warehouse.Delivery)
    counts = {kind: len(run.told(kind)) for kind in ("closed", "dropped", "held up", "step failed")}
    finding(f"  {len(orders)} orders, {len(deliveries)} deliveries; {counts}")
    assert len(orders) > ROWS
    assert Counter(deliveries) == Counter(orders)
    assert not run.told("broke")
    failed = [str(event["error"]) for event in run.told("step failed")]
    assert not [error for error in failed if any(sign in error for sign in _MISSING)]


def _numbered(engine: Engine) -> list[str]:
    return [name for name in inspect(engine).get_table_names() if name.startswith("asyncflow_task_")]


def _is_done(warehouse: Warehouse) -> bool:
    """Tell whether all is delivered, and all that is over has left the task table."""
    tasks = warehouse.outbox.tasks
    with warehouse.engine.connect() as connection:
        found = connection.execute(tasks.select().limit(1)).first()
    return found is None
