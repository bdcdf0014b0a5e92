from __future__ import annotations

from asyncflow.outbox.events import Hooks, UnknownTypeSeen
from asyncflow.scheduler.unknown_types import UnknownTypes
from asyncflow.testing import Signals


def test_each_unknown_type_is_told_once_and_known_ones_never() -> None:
    signals = Signals()
    types = UnknownTypes({"known"}, Hooks([signals]))
    types.notice(["known", "a", "b", "a"])
    types.notice(["b", "known", "a"])
    assert [event.task_type for event in signals.of(UnknownTypeSeen)] == ["a", "b"]
