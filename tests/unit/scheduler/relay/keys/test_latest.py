from __future__ import annotations

import uuid

import pytest
from sqlalchemy import MetaData

from asyncflow import MessageType, Outbox, Task
from asyncflow.errors import OptionError
from asyncflow.scheduler import SENT, Retry, Unavailable
from asyncflow.scheduler.configuration.types_here import TypesHere
from asyncflow.scheduler.configuration.types_in_force import Overlay
from asyncflow.scheduler.publishing.publisher import Outcome
from asyncflow.scheduler.relay.keys.latest import Latest
from asyncflow.scheduler.relay.round import NotSent


def task(key: str | None, name: str = "state", shard: int = 0) -> Task:
    return Task(uuid.uuid4(), name, shard, key, None, b"{}", 0, 3)


@pytest.fixture
def latest() -> Latest:
    outbox = Outbox(MetaData())
    outbox.message("state", ordered=True, coalesce=True, when_exhausted="skip")
    outbox.message("moved", ordered=True)
    return Latest(outbox.tasks, TypesHere(Overlay(outbox.task_types), "kafka"))


def test_of_each_key_and_lane_the_last_is_kept_in_its_place(latest: Latest) -> None:
    tasks = [task("A"), task("B"), task("A"), task("A", "moved"), task("A", "moved"), task(None), task("A", shard=1)]
    assert latest.of_keys(tasks, not_sent := NotSent()) == tasks[1:]
    assert not_sent.superseded == tasks[:1]


@pytest.mark.parametrize(("outcome", "is_over"), [(SENT, True), (Retry("no"), True), (Unavailable("x"), False)])
def test_what_is_superseded_is_over_when_the_latest_is_written(outcome: Outcome, is_over: bool, latest: Latest) -> None:
    kept = latest.of_keys([earlier := task("A"), task("A")], not_sent := NotSent())
    assert not_sent.over(kept, [outcome]) == ([earlier] if is_over else [])


def test_what_is_superseded_waits_with_a_latest_that_is_left_for_its_rate(latest: Latest) -> None:
    latest.of_keys([task("A"), task("A")], not_sent := NotSent())
    assert not_sent.over([], []) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"coalesce": 1}, "coalesce is 1; give True or False"),
        ({"coalesce": True}, "add ordered=True"),
        ({"coalesce": True, "ordered": True}, "add when_exhausted='skip'"),
    ],
)
def test_coalescing_without_an_order_or_behind_dead_letters_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        MessageType(name="state", destination="kafka", topic="state", **options)  # type: ignore[arg-type]
