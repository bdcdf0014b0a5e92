"""The rows of a home-made table are taken over by the code of the page: each once, with its columns, or not at all."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import ModuleType
from typing import Any

import orjson
import pytest
from sqlalchemy import DateTime, Engine, MetaData, func, insert, select

from asyncflow import Outbox, Status
from asyncflow.errors import UnknownTaskTypeError
from asyncflow.outbox.clock import seconds_until
from tests.support.snippets import snippets

ROWS = 30
TYPE = "user.registered"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the code of the page."""
    module = ModuleType("moving")
    monkeypatch.setitem(sys.modules, "moving", module)
    for block in snippets("docs/coming-from.md"):
        exec(block, module.__dict__)
    return module


@pytest.fixture
def outbox(engine: Engine, page: Any) -> Outbox:
    """Give an outbox beside a table in which rows wait, have failed, are to be sent in an hour, or were sent."""
    made = Outbox(MetaData())
    made.message(TYPE)
    made.tasks.metadata.create_all(engine)
    page.records.create(engine)
    with engine.begin() as connection:
        now = connection.scalars(select(func.current_timestamp(type_=DateTime()))).one().replace(tzinfo=None)
        rows = [
            {
                "id": number,
                "topic": TYPE,
                "body": f'{{"n": {number}}}',
                "account_no": f"A{number % 7}",
                "status": ("NEW", "RETRY", "FAILED", "SENT")[number % 4],
                "next_time": now + timedelta(hours=1) if number % 4 == 1 else None,
            }
            for number in range(1, ROWS + 1)
        ]
        connection.execute(insert(page.records), rows)
    return made


def statuses(engine: Engine, page: Any) -> Counter[str]:
    with engine.connect() as connection:
        return Counter(connection.scalars(select(page.records.c.status)))


def tasks(engine: Engine, outbox: Outbox) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(outbox.tasks, seconds_until(outbox.tasks.c.order_time).label("wait"))))


def test_each_row_that_was_not_sent_is_taken_over_once_with_its_columns(
    engine: Engine, page: Any, outbox: Outbox
) -> None:
    numbers = [number for number in range(1, ROWS + 1) if number % 4 != 3]
    counts = [page.take_over(engine, outbox, most=10) for _ in range(4)]
    assert counts == [10, 10, 3, 0]
    found = {int(orjson.loads(task.headers)["record-id"]): task for task in tasks(engine, outbox)}
    assert sorted(found) == numbers
    for number, task in found.items():
        told = (task.task_type, bytes(task.payload), task.task_key, task.status)
        assert told == (TYPE, f'{{"n": {number}}}'.encode(), f"A{number % 7}", Status.PENDING)
        assert 1800 < float(task.wait) < 3660 if number % 4 == 1 else float(task.wait) <= 0
    assert statuses(engine, page) == {"MOVED": len(numbers), "SENT": ROWS - len(numbers)}


def test_a_row_that_cannot_be_taken_is_named_and_its_batch_stays_as_it_was(
    engine: Engine, page: Any, outbox: Outbox
) -> None:
    before = statuses(engine, page)
    with engine.begin() as connection:
        connection.execute(page.records.update().where(page.records.c.id == 5).values(topic="user.removed"))
    with pytest.raises(UnknownTaskTypeError, match=r"user\.removed"):
        page.take_over(engine, outbox)
    assert tasks(engine, outbox) == []
    assert statuses(engine, page) == before


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_two_that_run_at_once_take_each_row_over_once(engine: Engine, page: Any, outbox: Outbox) -> None:
    def all_of_it(_: int) -> int:
        taken = 0
        while number := page.take_over(engine, outbox, most=2):
            taken += number
        return taken

    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(all_of_it, range(2)))
    assert sum(taken) == len(tasks(engine, outbox)) == ROWS - statuses(engine, page)["SENT"]
