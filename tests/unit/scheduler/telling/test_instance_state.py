"""The text by which an instance tells of itself is read again by this version and by others, and stays small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from asyncflow.scheduler.telling.instance_state import InstanceState, ToldBreaker, ToldCrew, ToldTrouble, state_from

STATE = InstanceState(
    version="0.1.0",
    host="web-1",
    pid=7,
    started=1000.0,
    settings={"lease_seconds": 5.0},
    seconds_ahead=0.1,
    breakers=(ToldBreaker(destination="kafka", topic="users", state="open", error="refused", since=1.0, probe_at=2.0),),
    failing=(ToldTrouble(name="cluster", error="it broke", count=3, since=1.0, last=2.0),),
    ran_out=(ToldTrouble(name="issue_coupon", count=2, since=1.0, last=2.0),),
    undeclared=("ghost",),
    off=("mail",),
    paced=("slow",),
    crews=(ToldCrew(task_type="issue_coupon", at_work=4, since=5.0, youngest_since=6.0, usual_seconds=0.5),),
    rounds_per_second=2.5,
    in_hand=12,
)


def test_what_is_told_is_read_again() -> None:
    assert state_from(STATE.as_text()) == STATE


def test_another_versions_text_is_read_as_far_as_it_is_known() -> None:
    told = {**orjson.loads(STATE.as_text()), "of_tomorrow": [1], "breakers": [{"destination": "kafka", "new": 1}]}
    del told["host"]
    state = state_from(orjson.dumps(told).decode())
    assert state is not None
    assert (state.version, state.host, state.breakers) == ("0.1.0", "", (ToldBreaker(destination="kafka"),))


def test_what_is_no_state_is_none() -> None:
    for text in (None, "", "{", "[]", "3", '{"breakers": 3}', '{"breakers": [3]}'):
        assert state_from(text) is None, text


def test_figures_and_counts_alone_are_not_worth_writing_at_once() -> None:
    busier = InstanceState(**{**_fields(), "rounds_per_second": 9.0, "in_hand": 1, "succeeded": 100})
    again = InstanceState(
        **{**_fields(), "failing": (ToldTrouble(name="cluster", error="it broke", count=9, since=1.0),)}
    )
    slower = InstanceState(**{**_fields(), "crews": (replace(STATE.crews[0], waiting=7, usual_seconds=0.6),)})
    other = InstanceState(**{**_fields(), "failing": ()})
    younger = InstanceState(**{**_fields(), "crews": (replace(STATE.crews[0], youngest_since=7.0),)})
    assert STATE.lasting() == busier.lasting() == again.lasting() == slower.lasting()
    assert STATE.lasting() != other.lasting()
    assert STATE.lasting() != younger.lasting()  # by what is told late a crew that goes on would seem to hang
    assert STATE.as_text() != busier.as_text()


def test_the_text_fits_its_column_whatever_there_is_to_tell() -> None:
    names = tuple(f"{number:03}" + "\U0001f600" * 97 for number in range(20))
    troubles = tuple(ToldTrouble(name=name, error=name * 2) for name in names)
    state = InstanceState(undeclared=names, unhandled=names, spent=names, ran_out=troubles, troubles=troubles)
    text = state.as_text()
    assert len(text.encode()) <= 16_000
    assert state_from(text) is not None


def _fields() -> dict[str, Any]:
    return {name: getattr(STATE, name) for name in STATE.__dataclass_fields__}
