"""Callables: what has to be awaited is told from what is called, and nothing that was only begun counts as done."""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from asyncflow import Outbox
from asyncflow.callables import is_coroutine, is_generator, require_done
from asyncflow.errors import OptionError
from asyncflow.events import Hooks
from asyncflow.scheduler.jobs.job import DataflowJob, SimpleJob
from asyncflow.scheduler.jobs.settings import JobSettings
from asyncflow.scheduler.notices.notifier import Notifier


async def work(ctx: Any = None) -> None: ...


def generate(*_: Any) -> Iterator[int]:
    yield 1


async def generate_async(*_: Any) -> AsyncIterator[int]:
    yield 1


class Object:
    async def __call__(self, ctx: Any = None) -> None: ...

    async def method(self, ctx: Any = None) -> None: ...


@functools.wraps(work)
def decorated(ctx: Any = None) -> Any:
    return work(ctx)


def plain(*_: Any) -> None: ...


COROUTINES: dict[str, Callable[..., Any]] = {
    "coroutine": work,
    "partial": functools.partial(work),
    "object": Object(),
    "partial of an object": functools.partial(Object()),
    "method": Object().method,
}


@pytest.mark.parametrize("name", COROUTINES)
def test_what_makes_a_coroutine_is_awaited_whatever_it_is(name: str) -> None:
    assert is_coroutine(COROUTINES[name])
    outbox = Outbox(MetaData())
    outbox.task("work")(COROUTINES[name])
    assert outbox.handler_types["work"].is_coroutine


@pytest.mark.parametrize("given", [plain, Object, functools.partial(plain), print, decorated], ids=range(5))
def test_what_is_called_is_no_coroutine(given: Any) -> None:
    assert not is_coroutine(given)
    assert not is_generator(given)


@pytest.mark.parametrize("given", [generate, generate_async, functools.partial(generate)], ids=range(3))
def test_a_generator_is_refused_as_a_handler_for_its_body_would_never_run(given: Any) -> None:
    with pytest.raises(OptionError, match="'work' is a generator"):
        Outbox(MetaData()).task("work")(given)


@pytest.mark.parametrize("returned", [decorated, generate, generate_async], ids=range(3))
def test_what_was_returned_in_place_of_work_is_refused(returned: Callable[[], Any]) -> None:
    with pytest.raises(OptionError, match="nothing was done"):
        require_done("the handler", returned())
    require_done("the handler", [1])


class Asynchronous:
    def before(self, context: Any) -> Any: ...

    async def after(self, context: Any) -> None: ...

    async def send(self, notice: Any) -> None: ...


class Fetching(DataflowJob[Any, list[int]]):
    def fetch_data(self, context: Any) -> list[int]:
        return [1]

    async def process_data(self, context: Any, data: list[int]) -> None:  # type: ignore[override]
        ...


ELSEWHERE: dict[str, Callable[[], Any]] = {
    "hook": lambda: Hooks([work]),  # type: ignore[list-item]
    "job": lambda: SimpleJob("job", work, cron=1),  # type: ignore[arg-type]
    "generating job": lambda: SimpleJob("job", generate, cron=1),  # type: ignore[arg-type]
    "dataflow job": lambda: Fetching("job", cron=1),
    "listener": lambda: JobSettings(cron=1, listeners=[Asynchronous()]),  # type: ignore[list-item]
    "error handler": lambda: JobSettings(cron=1, error_handler=work),  # type: ignore[arg-type]
    "channel": lambda: Notifier(create_engine("sqlite://"), Outbox(MetaData()), [Asynchronous()]),  # type: ignore[list-item]
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_nobody_awaits_is_refused_where_it_is_given(name: str) -> None:
    with pytest.raises(OptionError, match="nobody would run"):
        ELSEWHERE[name]()


def test_a_job_whose_function_only_returns_a_coroutine_has_failed() -> None:
    job = SimpleJob("job", decorated, cron=1)
    with pytest.raises(OptionError, match="nothing was done"):
        job.run_batch(None)


def is_silent(one: Any) -> bool:
    try:
        inspect.signature(one)
    except ValueError:
        return True
    return False


def test_a_function_that_does_not_tell_its_parameters_is_no_handler() -> None:
    functions = (one for one in vars(builtins).values() if callable(one) and not isinstance(one, type))
    silent = next(one for one in functions if is_silent(one))
    with pytest.raises(OptionError, match=r"silent\(\) does not tell its parameters; give a function of your own"):
        Outbox(MetaData()).task("silent")(functools.partial(silent))
