from __future__ import annotations

from asyncflow.events import Hooks, UnknownTypeSeen
from asyncflow.scheduler.heads.unknown_types import UnknownTypes
from asyncflow.testing import Signals


def test_each_unknown_type_is_told_once_and_known_ones_never() -> None:
    signals = Signals()
    types = UnknownTypes({"known"}, Hooks([signals]))
    types.notice(["known", "a", "b", "a"])
    types.notice(["b", "known", "a"])
    assert [event.task_type for event in signals.of(UnknownTypeSeen)] == ["a", "b"]
