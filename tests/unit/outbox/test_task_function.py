"""What @outbox.task makes of a function: the function as before, and a task that enqueues itself."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import multiprocessing
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine, select
from sqlalchemy.orm import Session

from asyncflow import Call, HandlerType, MessageType, Outbox, PeriodicTask, SchedulerSettings, TaskContext
from asyncflow.errors import InvalidArgumentsError, UnknownOptionError, WrongTargetError
from asyncflow.outbox.declarations import option_types
from asyncflow.outbox.options import field_names
from asyncflow.scheduler.given import SchedulerOptions
from asyncflow.testing import assert_enqueued, enqueued, task_context


@Outbox(MetaData()).task
def ship(order_id: int) -> str:
    return f"{order_id} is on its way"


def test_it_goes_to_another_process_by_its_name_as_a_function_does() -> None:
    assert pickle.loads(pickle.dumps(ship)) is ship
    assert copy.deepcopy([ship]) == [ship]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(ship, 7).result(60) == "7 is on its way"


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(MetaData())


@pytest.fixture
def session(outbox: Outbox) -> Iterator[Session]:
    engine = create_engine("sqlite://")
    outbox.tasks.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


def pay(ctx: TaskContext, order_id: int, note: str = "") -> str:
    """Pay for an order."""
    return f"{ctx.attempt}: {order_id} {note}"


def test_it_is_the_function_still(outbox: Outbox) -> None:
    task = outbox.task(pay)
    assert task(task_context(attempt=2), 7, note="soon") == "2: 7 soon"
    assert (task.__name__, task.__doc__, task.handler) == ("pay", "Pay for an order.", pay)
    assert inspect.signature(task) == inspect.signature(pay)
    assert outbox.handler_types["pay"].handler is pay
    assert outbox.handler_types.require(task) is outbox.handler_types.require(pay)
    assert outbox.handler_types.require("pay").name == task.task_type


@pytest.mark.parametrize("declare", ["bare", "called", "named"])
def test_it_enqueues_itself_by_name_and_by_place(declare: str, outbox: Outbox, session: Session) -> None:
    task = outbox.task("pay")(pay) if declare == "named" else (outbox.task if declare == "bare" else outbox.task())(pay)
    first = task.enqueue(session, order_id=1)
    task.enqueue(session, 2, "soon")
    found = enqueued(session, task)
    assert [one.arguments for one in found] == [{"order_id": 1}, {"order_id": 2, "note": "soon"}]
    assert found[0].id == first


def test_options_go_before_and_add_up(outbox: Outbox, session: Session) -> None:
    task = outbox.task(max_retries=3)(pay)
    prepared = task.options(key="A1", delay_seconds=3600)
    prepared.options(priority=5, delay_seconds=0, max_retries=0).enqueue(session, order_id=1)
    prepared.enqueue(session, order_id=2)
    assert assert_enqueued(session, task, order_id=1, key="A1", priority=5).delay_seconds == 0
    assert 3000 < assert_enqueued(session, task, order_id=2, key="A1", priority=0).delay_seconds <= 3601
    tasks = outbox.tasks
    assert set(session.scalars(select(tasks.c.max_retries))) == {0, 3}


def test_an_idempotency_key_tells_whether_the_task_is_new(outbox: Outbox, session: Session) -> None:
    task = outbox.task()(pay).options(idempotency_key="k")
    first, again = (task.enqueue_once(session, order_id=1) for _ in range(2))
    assert (first.is_new, again.is_new, again.id) == (True, False, first.id)


WRONG = [
    ({"too": 1}, r"pay\(\) has no argument 'too'; it takes note, order_id"),
    ({"order_id": 1, "too": 1}, r"pay\(\) has no argument 'too'"),
    ({"oder_id": 1}, r"no argument 'oder_id' \(did you mean 'order_id'\?\)"),
    ({"order_id": 1, "delay_second": 3}, r"no argument 'delay_second' \(did you mean 'delay_seconds'\?\)"),
    ({"order_id": 1, "prority": 3}, r"no argument 'prority' \(did you mean 'priority'\?\)"),
    ({"order_id": "1"}, r"order_id is '1', a str"),
    ({}, r"pay\(\) needs order_id"),
]


@pytest.mark.parametrize(("arguments", "told"), WRONG)
def test_what_is_wrong_is_named_at_both_doors(
    arguments: dict[str, Any], told: str, outbox: Outbox, session: Session
) -> None:
    task: Any = outbox.task()(pay)
    with pytest.raises(InvalidArgumentsError, match=told):
        outbox.enqueue(session, task, **arguments)
    with pytest.raises(InvalidArgumentsError, match=told):
        task.enqueue(session, **arguments)
    assert enqueued(session, task) == []


@pytest.mark.parametrize("name", ["key", "delay_seconds", "idempotency_key"])
def test_an_option_among_the_arguments_is_told_where_it_goes(name: str, outbox: Outbox, session: Session) -> None:
    task: Any = outbox.task()(pay)
    with pytest.raises(InvalidArgumentsError, match=rf"'{name}'; {name} is an option: task.options\({name}=\.\.\.\)"):
        task.enqueue(session, order_id=1, **{name: 3})


def test_too_many_arguments_and_two_for_one_name_are_refused(outbox: Outbox, session: Session) -> None:
    task: Any = outbox.task()(pay)
    with pytest.raises(InvalidArgumentsError, match=r"pay\(\) takes 2 arguments, and 3 were given"):
        task.enqueue(session, 1, "a", "b")
    with pytest.raises(InvalidArgumentsError, match=r"order_id of pay\(\) is given twice"):
        task.enqueue(session, 1, order_id=1)


def test_an_unknown_option_is_told_with_the_nearest(outbox: Outbox) -> None:
    task: Any = outbox.task()(pay)
    with pytest.raises(UnknownOptionError, match="did you mean 'delay_seconds'"):
        task.options(delay_second=3)


async def test_only_an_async_session_is_awaited(outbox: Outbox, session: Session) -> None:
    task: Any = outbox.task()(pay)
    with pytest.raises(WrongTargetError, match="only an AsyncSession is awaited, not a Session"):
        await task.enqueue_async(session, order_id=1)


def test_one_function_may_be_a_task_of_two_outboxes(outbox: Outbox, session: Session) -> None:
    other = Outbox(MetaData())
    here, there = outbox.task()(pay), other.task()(pay)
    here.enqueue(session, order_id=1)
    assert (here.outbox, there.outbox) == (outbox, other)
    assert len(enqueued(session, here)) == 1
    assert enqueued(session, outbox=outbox) == enqueued(session, here)


@pytest.mark.parametrize(
    ("typed", "fields"),
    [
        (option_types.EnqueueOptions, field_names(Call, but=("arguments",))),
        (option_types.MessageOptions, field_names(MessageType, but=("name",))),
        (option_types.HandlerOptions, field_names(HandlerType, but=("name",))),
        (option_types.PeriodicOptions, field_names(PeriodicTask, but=("task_type", "cron"))),
        (SchedulerOptions, field_names(SchedulerSettings)),
    ],
)
def test_type_checkers_know_the_options_that_there_are(typed: Any, fields: tuple[str, ...]) -> None:
    assert set(typed.__annotations__) == set(fields)


def test_type_checkers_know_the_types_of_the_settings() -> None:
    types = {field.name: field.type for field in dataclasses.fields(SchedulerSettings)}
    told = {name: getattr(kind, "__forward_arg__", kind) for name, kind in SchedulerOptions.__annotations__.items()}
    assert told == types
