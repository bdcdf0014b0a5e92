"""An outcome that the database refuses, by a trigger or a constraint, is told on its task, and holds up no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from sqlalchemy import Engine, text

from asyncflow import Call, Status
from asyncflow.events import SettleFenced, StepFailed, TaskFailed
from asyncflow.outbox.status import UNSETTLED
from tests.integration.integrations.flowsvr.conftest import Service
from tests.integration.scheduler.queues.suite import Office
from tests.support.application import Application
from tests.support.memory_queue import MemoryQueue
from tests.unit.scheduler.waiting import eventually

REFUSES = {
    "mysql": [
        "CREATE TRIGGER cursed BEFORE UPDATE ON asyncflow_task FOR EACH ROW BEGIN "
        "IF NEW.task_key = 'cursed' AND NEW.status IN ({statuses}) THEN SIGNAL SQLSTATE '45000'; END IF; END"
    ],
    "sqlite": [
        "CREATE TRIGGER cursed BEFORE UPDATE ON asyncflow_task WHEN NEW.task_key = 'cursed' "
        "AND NEW.status IN ({statuses}) BEGIN SELECT RAISE(ABORT, 'no'); END"
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION curse() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no'; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER cursed BEFORE UPDATE ON asyncflow_task FOR EACH ROW "
        "WHEN (NEW.task_key = 'cursed' AND NEW.status IN ({statuses})) EXECUTE FUNCTION curse()",
    ],
}


def curse(engine: Engine, *statuses: Status) -> None:
    """Let the database refuse to give these statuses to tasks with the key ``cursed``."""
    named = ", ".join(str(int(status)) for status in statuses)
    with engine.begin() as connection:
        for statement in REFUSES[engine.dialect.name.replace("mariadb", "mysql")]:
            connection.execute(text(statement.format(statuses=named)))


@pytest.fixture
def cursed(application: Application) -> Iterator[Application]:
    """Give the application; leave no trigger on its tables, which are kept."""
    yield application
    of_table = " ON asyncflow_task" if application.engine.dialect.name == "postgresql" else ""
    with application.engine.begin() as connection:
        connection.execute(text(f"DROP TRIGGER IF EXISTS cursed{of_table}"))


@pytest.mark.parametrize("result", [False, True])
def test_a_task_whose_success_is_refused_is_a_dead_letter_that_tells_why(result: bool, cursed: Application) -> None:
    calls: Counter[int] = Counter()

    @cursed.outbox.task("work", concurrency=4, keep_result=result)
    def work(number: int) -> int:
        calls[number] += 1
        return number

    curse(cursed.engine, Status.SUCCESS)
    with cursed.engine.begin() as connection:
        cursed.outbox.enqueue_many(connection, "work", [Call({"number": -1}, key="cursed")])
        cursed.outbox.enqueue_many(connection, "work", [Call({"number": number}) for number in range(10)])
    with cursed.scheduler():
        eventually(lambda: not set(cursed.statuses()) & set(UNSETTLED))
    (letter,) = [row for row in cursed.rows() if row.status != Status.SUCCESS]
    assert (letter.task_key, letter.status) == ("cursed", Status.FAILED)
    assert "the database refused to write its outcome" in letter.schedule_log
    assert calls == dict.fromkeys([-1, *range(10)], 1)
    assert [event.task_id for event in cursed.signals.of(TaskFailed)] == [letter.id]
    assert cursed.signals.of(StepFailed)


def test_a_task_that_takes_no_last_status_at_all_holds_up_no_other(cursed: Application) -> None:
    cursed.outbox.task("work", concurrency=4)(lambda: None)
    curse(cursed.engine, Status.SUCCESS, Status.FAILED)
    with cursed.engine.begin() as connection:
        cursed.outbox.enqueue(connection, "work", key="cursed")
    with cursed.scheduler():
        for number in range(3):
            with cursed.engine.begin() as connection:
                cursed.outbox.enqueue_many(connection, "work", [Call({})] * 5)
            eventually(partial(are_done, cursed, 5 * number + 5))
        cursed.signals.wait_for(SettleFenced)


def are_done(application: Application, count: int) -> bool:
    return application.statuses().count(Status.SUCCESS) == count


async def test_a_task_service_writes_the_others_and_makes_a_dead_letter_of_it(cursed: Application) -> None:
    cursed.outbox.task("mail", max_retries=2)
    service = Service(cursed)
    await service.create(key="cursed")
    for _ in range(3):
        await service.create()
    tasks = await service.hold()
    curse(cursed.engine, Status.SUCCESS)
    outcomes = [{"id": task["id"], "token": task["token"], "outcome": "success"} for task in tasks]
    replies = [await service.worker("POST", "/v2/tasks/set", {"outcomes": outcomes}) for _ in range(4)]
    assert [reply.status_code < 400 for reply in replies] == [False, False, False, True]
    assert all(one["settled"] for one in replies[-1].json()["results"])
    assert sorted(cursed.statuses()) == [Status.SUCCESS] * 3 + [Status.FAILED]
    await service.close()


def test_what_comes_back_by_a_queue_is_written_but_for_it(sqlite_engine: Engine) -> None:
    with ExitStack() as until:
        office = Office(sqlite_engine, MemoryQueue(), until)
        with sqlite_engine.begin() as connection:
            connection.execute(
                text(
                    "CREATE TRIGGER one BEFORE UPDATE ON asyncflow_task WHEN NEW.status = 2 AND OLD.id = "
                    "(SELECT min(id) FROM asyncflow_task) BEGIN SELECT RAISE(ABORT, 'no'); END"
                )
            )
        office.enqueue(office.issue, *range(20, 26))
        office.schedule()
        office.work()
        eventually(lambda: office.count(Status.SUCCESS) == 5 and office.count(Status.FAILED) == 1)
        assert sorted(office.done) == list(range(20, 26))
