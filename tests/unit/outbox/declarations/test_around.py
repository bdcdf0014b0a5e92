"""What may stand around a handler, and what is refused where it is declared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from typing import Any

import pytest
from sqlalchemy import MetaData

from asyncflow import Outbox
from asyncflow.errors import OptionError
from asyncflow.outbox.declarations.around import StandsBriefly


@contextmanager
def tracing(ctx: Any) -> Iterator[None]:
    yield


@asynccontextmanager
async def tenancy(ctx: Any, tenant: str = "") -> AsyncIterator[None]:
    yield


class Awaited:
    def __init__(self, ctx: Any) -> None: ...

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *how: Any) -> None: ...


class Either(Awaited):
    def __enter__(self) -> None: ...

    def __exit__(self, *how: Any) -> None: ...


class Maker:
    @asynccontextmanager
    async def __call__(self, ctx: Any) -> AsyncIterator[None]:
        yield

    @asynccontextmanager
    async def tenancy(self, ctx: Any) -> AsyncIterator[None]:
        yield


ONLY_ASYNC = [tenancy, partial(tenancy, tenant="a"), Awaited, Maker(), Maker().tenancy]


def handler() -> None: ...


async def coroutine() -> None: ...


@pytest.mark.parametrize("factory", ONLY_ASYNC)
@pytest.mark.parametrize("how", ["bare", "named", "later"])
def test_what_must_be_awaited_is_refused_around_a_function(factory: Any, how: str) -> None:
    outbox = Outbox(MetaData(), around=[] if how == "later" else [factory])

    def declare() -> None:
        (outbox.task("handler") if how == "named" else outbox.task())(handler)
        outbox.around.add(factory)

    with pytest.raises(OptionError, match=r"handler of 'handler' is a function, .*__enter__"):
        declare()
    kind = outbox.handler_types.get("handler")
    assert kind is None or how != "named" or kind.handler is None
    assert len(outbox.around) == (how != "later")
    Outbox(MetaData(), around=[factory]).task()(coroutine)


@pytest.mark.parametrize("factory", [tracing, Either, lambda ctx: nullcontext()])
def test_what_needs_no_await_fits_both(factory: Any) -> None:
    outbox = Outbox(MetaData(), around=[factory])
    outbox.task()(handler)
    outbox.task()(coroutine)


def generator(ctx: Any) -> Iterator[None]:
    yield


async def async_generator(ctx: Any) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("around", "told"),
    [
        (tracing, "give a list of functions"),
        ("tracing", "give a function"),
        (None, "around is None; give a list"),
        ([nullcontext()], "makes a context manager for each attempt"),
        ([generator], "holds generator, .* decorate it with contextlib.contextmanager"),
        ([async_generator], "decorate it with contextlib.contextmanager or asynccontextmanager"),
        ([coroutine], "holds coroutine, a coroutine; make it an async generator"),
    ],
)
def test_what_makes_no_context_manager_is_refused(around: Any, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Outbox(MetaData(), around=around)


class Brief(StandsBriefly):
    """Stand around attempts in both ways."""

    def around_attempt(self, _: Any) -> nullcontext[None]:
        return nullcontext()

    def begin_attempt(self) -> None:
        return None


def test_what_stands_briefly_does_so_where_nothing_else_stands_around_attempts() -> None:
    outbox, hook = Outbox(MetaData()), Brief()
    outbox.hooks.add(hook)
    assert outbox.around.brief is hook
    outbox.around.add(tracing)
    assert outbox.around.brief is None
    outbox.around.take_out(tracing)
    outbox.around.take_out(tracing)
    assert outbox.around.brief is hook
    outbox.hooks.remove(hook)
    assert (outbox.around.brief, list(outbox.around)) == (None, [])
