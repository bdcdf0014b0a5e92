"""What stands around an attempt is left in reverse with what the inner ones made of an error."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest

from asyncflow.errors import AroundError
from asyncflow.outbox.declarations.around import SetsContext
from asyncflow.scheduler.worker.within import await_within, call_within
from asyncflow.testing import task_context

SEEN: ContextVar[str] = ContextVar("seen", default="nobody")


class Sets(SetsContext):
    """Set a variable, and know whether it was left."""

    def __init__(self, _: Any) -> None:
        self.is_left = False

    def __enter__(self) -> None:
        self.token = SEEN.set("me")

    def __exit__(self, *_: object) -> None:
        SEEN.reset(self.token)
        self.is_left = True


class Notes:
    def __init__(self, name: str, seen: list[Any], raises: Exception | None = None) -> None:
        self.name, self.seen, self.raises = name, seen, raises

    def __call__(self, _: Any) -> Notes:
        return self

    def __enter__(self) -> None:
        self.seen.append(self.name)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.seen.append((self.name, type(error).__name__))
        if self.raises is not None:
            raise self.raises


def test_what_sets_variables_alone_is_seen_and_need_not_be_left() -> None:
    sets = Sets(None)
    assert call_within([lambda _: sets], task_context(), SEEN.get) == "me"
    assert SEEN.get() == "nobody"
    assert not sets.is_left


async def test_around_a_coroutine_it_is_left() -> None:
    async def work() -> str:
        return SEEN.get()

    assert await await_within([Sets], task_context(), work) == "me"
    assert SEEN.get() == "nobody"


def test_an_error_that_one_of_them_raises_is_seen_by_those_outside_of_it() -> None:
    seen: list[Any] = []
    around = [Notes("outer", seen), Notes("middle", seen, OSError("x")), Notes("inner", seen)]
    with pytest.raises(AroundError, match="raised OSError as it was left"):
        call_within(around, task_context(), lambda: 1 / 0)
    assert seen == [
        *("outer", "middle", "inner"),
        *(("inner", "ZeroDivisionError"), ("middle", "ZeroDivisionError"), ("outer", "AroundError")),
    ]


def test_one_that_cannot_be_entered_keeps_the_work_from_being_done_and_the_outer_ones_are_left() -> None:
    seen: list[Any] = []
    no_manager: Any = lambda _: 5  # noqa: E731
    with pytest.raises(AroundError, match="it made 5"):
        call_within([Notes("outer", seen), no_manager], task_context(), lambda: seen.append("work"))
    assert seen == ["outer", ("outer", "AroundError")]
