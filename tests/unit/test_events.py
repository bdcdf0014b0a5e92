"""Events are frozen values; hooks receive them and can do no harm."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import threading
from typing import Any

import pytest

from asyncflow import events
from asyncflow.errors import OptionError
from asyncflow.events import Event, ForksNothing, Hooks, TickMisfired, UnknownTypeSeen
from asyncflow.events.hooks import Gate

KINDS = [kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, Event)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_is_a_frozen_dataclass_with_a_docstring(kind: Any) -> None:
    assert issubclass(kind, Event)
    assert kind.__dict__["__dataclass_params__"].frozen
    assert kind.__doc__
    assert not kind.__doc__.startswith(kind.__name__ + "(")


def test_there_is_an_event_for_each_thing_that_is_told() -> None:
    assert len(KINDS) >= 15


def test_an_event_cannot_be_changed() -> None:
    event = TickMisfired("relay")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.loop = "other"  # type: ignore[misc]


def test_hooks_receive_events_in_the_order_of_their_addition() -> None:
    calls: list[tuple[str, Event]] = []
    hooks = Hooks([lambda event: calls.append(("first", event))])
    hooks.add(lambda event: calls.append(("second", event)))
    event = UnknownTypeSeen("order.paid")
    hooks.emit(event)
    assert calls == [("first", event), ("second", event)]


def test_hooks_without_a_hook_are_false() -> None:
    hooks = Hooks()
    assert not hooks
    hooks.add(lambda _: None)
    assert hooks


def test_a_hook_that_raises_is_reported_and_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("no disk")

    received: list[Event] = []
    with caplog.at_level(logging.ERROR, "asyncflow"):
        Hooks([broken, received.append]).emit(TickMisfired("relay"))
    assert received == [TickMisfired("relay")]
    assert "broken" in caplog.text
    assert "no disk" in caplog.text


@pytest.mark.parametrize("hooks", [5, None, print, [5]])
def test_what_is_no_list_of_hooks_is_refused(hooks: Any) -> None:
    with pytest.raises(OptionError, match=r"^hooks (is|holds) .*; give "):
        Hooks(hooks)


def test_a_hook_that_exits_ends_no_thread_of_ours_and_keeps_no_other_from_its_event() -> None:
    def leave(_: Event) -> None:
        raise SystemExit(3)

    heard: list[Event] = []
    hooks = Hooks([leave, heard.append])
    thread = threading.Thread(target=hooks.emit, args=(TickMisfired("a"),))
    thread.start()
    thread.join(60)
    assert heard == [TickMisfired("a")]
    with pytest.raises(SystemExit):  # on the main thread it is for the application
        hooks.emit(TickMisfired("b"))


class Choosy(ForksNothing):
    """Take ticks alone, while the gate is open."""

    def __init__(self) -> None:
        self.asked: list[type[Event]] = []
        self.is_open = False
        self.heard: list[Event] = []

    def takes(self, kind: type[Event]) -> bool | Gate:
        self.asked.append(kind)
        return (lambda: self.is_open) if kind is TickMisfired else False

    def __call__(self, event: Event) -> None:
        self.heard.append(event)


def test_a_hook_of_ours_is_asked_once_what_it_takes_and_its_gate_at_each_event() -> None:
    choosy = Choosy()
    hooks = Hooks([choosy])
    for is_open in (False, True, False):
        choosy.is_open = is_open
        hooks.emit(TickMisfired("relay"))
        hooks.emit(UnknownTypeSeen("order.paid"))
    assert choosy.asked == [TickMisfired, UnknownTypeSeen]
    assert choosy.heard == [TickMisfired("relay")]


def test_a_hook_that_is_added_later_hears_of_kinds_that_nobody_took_and_a_removed_one_of_none() -> None:
    heard: list[Event] = []
    hooks = Hooks([Choosy()])
    hooks.emit(UnknownTypeSeen("order.paid"))
    hooks.add(heard.append)
    hooks.emit(event := UnknownTypeSeen("order.paid"))
    with hooks.heard_by(heard.append):
        hooks.emit(event)
    hooks.emit(event)
    assert heard == [event] * 4
