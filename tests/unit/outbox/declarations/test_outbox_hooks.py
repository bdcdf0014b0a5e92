"""Hooks that stand around work: which they are, in which order, and that their faults disturb nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import MetaData

from asyncflow import Outbox
from asyncflow.errors import OptionError
from asyncflow.outbox.declarations.outbox_hooks import StandingAround


class Everywhere:
    """Stand around everything, and take no events."""

    @contextmanager
    def around_enqueue(self, enqueuing: Any) -> Iterator[None]:
        yield

    around_delivery = around_attempt = around_enqueue


def around(outbox: Outbox) -> Any:
    return outbox.hooks.around_enqueue, outbox.hooks.around_delivery, list(outbox.around)


def test_a_hook_is_asked_where_it_has_a_method_and_no_more_when_it_is_removed() -> None:
    outbox, hook = Outbox(MetaData()), Everywhere()
    assert around(outbox) == ((), (), [])
    outbox.hooks.add(hook)
    assert outbox.hooks.around_enqueue == (hook.around_enqueue,)
    assert outbox.hooks.around_delivery == (hook.around_delivery,)
    assert list(outbox.around) == [hook.around_attempt]
    assert not outbox.hooks  # it takes no events, so none are made for it
    outbox.hooks.remove(hook)
    assert around(outbox) == ((), (), [])


def test_a_hook_of_events_alone_stands_around_nothing() -> None:
    outbox = Outbox(MetaData(), hooks=[lambda event: None])
    assert outbox.hooks
    assert around(outbox) == ((), (), [])


class Spoilt:
    around_enqueue = "a text"


@pytest.mark.parametrize("hook", [object(), "a text", Spoilt()])
def test_what_can_neither_take_events_nor_stand_around_is_refused(hook: Any) -> None:
    with pytest.raises(OptionError, match="give"):
        Outbox(MetaData(), hooks=[hook])


@contextmanager
def telling(name: str, seen: list[str]) -> Iterator[None]:
    seen.append(f"{name} begins")
    try:
        yield
    except ValueError:
        seen.append(f"{name} sees it")
    finally:
        seen.append(f"{name} ends")


def test_the_first_stands_outermost_and_an_error_goes_through_all_of_them() -> None:
    seen: list[str] = []
    factories = [lambda given: telling(f"outer {given}", seen), lambda given: telling(f"inner {given}", seen)]
    with pytest.raises(ValueError, match="of the work"), StandingAround(factories, "x"):
        raise ValueError("of the work")
    assert seen == [
        "outer x begins",
        "inner x begins",
        "inner x sees it",
        "inner x ends",
        "outer x sees it",
        "outer x ends",
    ]


@contextmanager
def failing(when: str) -> Iterator[None]:
    if when == "entered":
        raise RuntimeError("of the hook")
    try:
        yield
    finally:
        raise RuntimeError("of the hook")


@pytest.mark.parametrize("when", ["entered", "left"])
@pytest.mark.parametrize("error", [None, ValueError("of the work")])
def test_a_fault_of_a_hook_is_logged_and_the_work_and_the_other_hooks_go_on(
    when: str, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    factories = [lambda _: failing(when), lambda _: telling("other", seen)]
    raised = None
    with caplog.at_level(logging.ERROR, "asyncflow"):
        try:
            with StandingAround(factories, None):
                seen.append("work")
                if error is not None:
                    raise error
        except ValueError as one:
            raised = one
    assert raised is error
    assert seen[:2] == ["other begins", "work"]
    assert seen[-1] == "other ends"
    assert f"raised as it was {when}" in caplog.text
    assert "of the hook" in caplog.text


def test_what_makes_no_context_manager_is_logged_and_the_work_is_done(caplog: pytest.LogCaptureFixture) -> None:
    factories: Any = [lambda _: None]
    with caplog.at_level(logging.ERROR, "asyncflow"), StandingAround(factories, None):
        done = True
    assert done
    assert "raised as it was entered" in caplog.text
