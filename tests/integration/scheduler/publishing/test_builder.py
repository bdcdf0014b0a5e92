from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from asyncflow import Outbox, Status, Task
from asyncflow.scheduler import Outcome, Record
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.publishers import values_of
from tests.integration.scheduler.writing import FAR, statements
from tests.support.application import Application

ACCOUNTS = ["A1", "A2", "A3"]


def users_of(application: Application, session: Session, tasks: Sequence[Task]) -> dict[str, Any]:
    """Read the business rows of a page with one query."""
    user = application.User
    found = session.scalars(select(user).where(user.account_no.in_([task.key for task in tasks])))
    return {each.account_no: each for each in found}


def enqueue(application: Application, build: Callable[..., Any], accounts: Sequence[str] = ACCOUNTS) -> None:
    """Declare the type ``built`` with a builder; register users and publish a key for each."""
    application.outbox.message("built", **FAR)(build)
    with application.session() as session, session.begin():
        for account in accounts:
            session.add(application.User(account_no=account, name=f"name of {account}"))
            application.outbox.publish(session, "built", key=account)


def fates(application: Application) -> dict[str, tuple[int, int]]:
    """Return (status, retry_count) by key."""
    return {row.task_key: (row.status, row.retry_count) for row in application.rows()}


def log_of(application: Application, key: str) -> str:
    return next(str(row.schedule_log) for row in application.rows() if row.task_key == key)


DONE, RETRIED, DEAD = (Status.SUCCESS, 0), (Status.PENDING, 1), (Status.FAILED, 1)


def test_one_query_reads_the_business_rows_of_a_whole_page(application: Application, schedule: Schedule) -> None:
    def build(session: Session, tasks: Sequence[Task]) -> list[dict[str, str]]:
        users = users_of(application, session, tasks)
        return [{"name": users[task.key].name} for task in tasks]  # type: ignore[index]

    enqueue(application, build, [f"A{number}" for number in range(10)])
    publisher = MemoryPublisher()
    with statements(application.engine) as sent:
        schedule(publisher).drain()
    assert sum(statement.startswith("SELECT users") for statement in sent) == 1
    assert set(values_of(publisher)) == {f'{{"name":"name of A{number}"}}'.encode() for number in range(10)}
    by_key = {record.key: record.value for record in publisher.records}
    assert by_key[b"A7"] == b'{"name":"name of A7"}'


def test_a_business_row_that_is_gone_fails_its_task_alone(application: Application, schedule: Schedule) -> None:
    def build(session: Session, tasks: Sequence[Task]) -> list[Any]:
        users = users_of(application, session, tasks)
        return [users[task.key].name if task.key in users else None for task in tasks]

    enqueue(application, build)
    with application.session() as session, session.begin():
        session.delete(session.get(application.User, "A2"))
    schedule().drain()
    assert fates(application) == {"A1": DONE, "A2": DEAD, "A3": DONE}
    assert "the business row is gone" in log_of(application, "A2")


def test_an_exception_for_one_task_retries_it_alone(application: Application, schedule: Schedule) -> None:
    def build(session: Session, tasks: Sequence[Task]) -> list[Any]:
        return [LookupError("locked") if task.key == "A2" else {"key": task.key} for task in tasks]

    enqueue(application, build)
    schedule().drain()
    assert fates(application) == {"A1": DONE, "A2": RETRIED, "A3": DONE}
    assert "LookupError: locked" in log_of(application, "A2")


def test_a_builder_that_raises_over_one_task_retries_it_alone(application: Application, schedule: Schedule) -> None:
    def build(session: Session, tasks: Sequence[Task]) -> list[Any]:
        return [{"rest": 1 / (task.key != "A2")} for task in tasks]

    enqueue(application, build)
    publisher = MemoryPublisher()
    schedule(publisher).drain()
    assert fates(application) == {"A1": DONE, "A2": RETRIED, "A3": DONE}
    assert len(publisher.records) == 2
    assert "ZeroDivisionError" in log_of(application, "A2")


def test_a_builder_that_always_raises_retries_all_and_publishes_nothing(
    application: Application, schedule: Schedule
) -> None:
    def build(session: Session, tasks: Sequence[Task]) -> list[Any]:
        raise RuntimeError("no payload today")

    enqueue(application, build)
    publisher = MemoryPublisher()
    schedule(publisher).drain()
    assert set(fates(application).values()) == {RETRIED}
    assert publisher.records == []


@pytest.mark.parametrize("answer", [[], [1, 2], None, 7])
def test_a_builder_with_the_wrong_number_of_payloads_retries_all(
    answer: Any, sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    enqueue(sqlite_application, lambda session, tasks: answer)
    publisher = MemoryPublisher()
    sqlite_schedule(publisher).drain()
    assert set(fates(sqlite_application).values()) == {RETRIED}
    assert publisher.records == []


def test_the_wrong_number_of_payloads_is_named(sqlite_application: Application, sqlite_schedule: Schedule) -> None:
    enqueue(sqlite_application, lambda session, tasks: [], ["A1"])
    sqlite_schedule().drain()
    assert "the builder of 'built' returned 0 payloads for 1 tasks" in log_of(sqlite_application, "A1")


def test_a_generator_of_payloads_will_do(sqlite_application: Application, sqlite_schedule: Schedule) -> None:
    enqueue(sqlite_application, lambda session, tasks: (task.key for task in tasks))
    sqlite_schedule().drain()
    assert set(fates(sqlite_application).values()) == {DONE}


def test_a_payload_that_is_no_json_fails_its_task_alone(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    enqueue(sqlite_application, lambda session, tasks: [object() if task.key == "A2" else 1 for task in tasks])
    sqlite_schedule().drain()
    assert fates(sqlite_application) == {"A1": DONE, "A2": DEAD, "A3": DONE}
    assert "object cannot be written as JSON" in log_of(sqlite_application, "A2")


def test_a_model_that_raises_while_it_is_written_retries_alone(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    class Model:
        def model_dump(self, **_: Any) -> Any:
            raise LookupError("lazy load failed")

    enqueue(sqlite_application, lambda session, tasks: [Model() if task.key == "A2" else 1 for task in tasks])
    sqlite_schedule().drain()
    assert [fates(sqlite_application)[key] for key in ("A1", "A3")] == [DONE, DONE]
    assert "lazy load failed" in log_of(sqlite_application, "A2")


def test_a_payload_over_the_limit_fails_its_task_alone(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    sqlite_application.outbox.max_message_bytes = 100
    enqueue(sqlite_application, lambda session, tasks: ["x" * (200 if task.key == "A2" else 20) for task in tasks])
    sqlite_schedule().drain()
    assert fates(sqlite_application) == {"A1": DONE, "A2": DEAD, "A3": DONE}
    assert "made 202 bytes; the limit is 100" in log_of(sqlite_application, "A2")


def test_tasks_with_and_without_a_builder_share_a_round(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    enqueue(sqlite_application, lambda session, tasks: [task.key for task in tasks])
    with sqlite_application.session() as session, session.begin():
        sqlite_application.outbox.publish(session, "user.registered", "plain")
    publisher = MemoryPublisher()
    sqlite_schedule(publisher).drain()
    assert sorted(values_of(publisher)) == [b'"A1"', b'"A2"', b'"A3"', b'"plain"']


def test_a_payload_given_at_the_enqueue_is_not_lost_to_the_builder(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    given: list[bytes | None] = []

    def build(session: Session, tasks: Sequence[Task]) -> list[Any]:
        given.extend(task.payload for task in tasks)
        return [task.payload for task in tasks]

    sqlite_application.outbox.message("built")(build)
    with sqlite_application.session() as session, session.begin():
        sqlite_application.outbox.publish(session, "built", {"n": 1}, key="A1")
    publisher = MemoryPublisher()
    sqlite_schedule(publisher).drain()
    assert given == [b'{"n":1}']
    assert values_of(publisher) == [b'{"n":1}']


def test_the_session_of_the_builder_is_closed_before_the_broker_is_called(
    application: Application, schedule: Schedule
) -> None:
    sessions: list[Session] = []
    open_then: list[bool] = []

    class Asking(MemoryPublisher):
        def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
            open_then.extend(session.in_transaction() for session in sessions)
            return super().publish(batch)

    def build(session: Session, tasks: Sequence[Task]) -> list[Any]:
        sessions.append(session)
        users_of(application, session, tasks)
        return [task.key for task in tasks]

    enqueue(application, build)
    schedule(Asking()).drain()
    assert open_then == [False]


def test_what_a_builder_writes_is_not_committed(application: Application, schedule: Schedule) -> None:
    def build(session: Session, tasks: Sequence[Task]) -> list[Any]:
        session.add(application.User(account_no="by the builder"))
        session.flush()
        return [task.key for task in tasks]

    enqueue(application, build)
    schedule().drain()
    with application.session() as session:
        assert session.get(application.User, "by the builder") is None


def test_a_builder_without_its_decorator_is_no_builder(sqlite_application: Application) -> None:
    outbox: Outbox = sqlite_application.outbox
    assert outbox.message("plain").builder is None


def test_bytes_from_a_builder_are_not_called_json(application: Application, schedule: Schedule) -> None:
    enqueue(application, lambda _, tasks: [b"\x00\x01" for _ in tasks], ["A1"])
    with application.session() as session, session.begin():
        application.outbox.publish(session, "built", key="A2", content_type="application/avro")
    publisher = MemoryPublisher()
    schedule(publisher).drain()
    types = {record.key: dict(record.headers)["content-type"] for record in publisher.records}
    assert types == {b"A1": b"application/octet-stream", b"A2": b"application/avro"}


def test_a_task_without_payload_waits_for_a_process_that_has_its_builder(
    application: Application, schedule: Schedule
) -> None:
    enqueue(application, lambda _, tasks: [{} for _ in tasks], ["A1"])
    application.outbox.task_types["built"].builder = None
    publisher = MemoryPublisher()
    schedule(publisher).drain()
    assert publisher.records == []
    assert fates(application) == {"A1": RETRIED}
    assert "no builder for 'built' in this process" in log_of(application, "A1")
