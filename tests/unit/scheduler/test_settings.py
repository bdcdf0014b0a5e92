from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow import SchedulerSettings
from asyncflow.errors import AsyncflowError, OptionError, UnknownOptionError

NAMES = [field.name for field in fields(SchedulerSettings)]
WHOLE = ["instance_count", "round_size", "round_bytes", "cleaning_batch"]
RETENTIONS = [
    "success_retention_seconds",
    "failed_retention_seconds",
    "audit_retention_seconds",
    "dedupe_retention_seconds",
    "inbox_retention_seconds",
]
SECONDS = [name for name in NAMES if name.endswith("_seconds")]
BAD_NUMBERS: list[Any] = [0, -1, "1", None, True, [], float("nan"), float("inf"), 1e300]


def test_the_defaults_are_valid() -> None:
    assert SchedulerSettings() == SchedulerSettings.of()


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        SchedulerSettings().tick = 2.0  # type: ignore[misc]


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True, 2**31])
def test_a_count_that_is_none_is_refused_by_name(name: str, value: Any) -> None:
    if value is None and name == "instance_count":
        assert SchedulerSettings.of(instance_count=None).instance_count is None
        return
    with pytest.raises(OptionError, match=f"^{name} is .*; give a whole number"):
        SchedulerSettings.of(**{name: value})


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", BAD_NUMBERS)
def test_a_duration_that_is_none_is_refused_by_name(name: str, value: Any) -> None:
    if value is None and name in RETENTIONS:
        assert getattr(SchedulerSettings.of(**{name: None}), name) is None
        return
    with pytest.raises(OptionError, match=f"^{name} is .*; give seconds above 0"):
        SchedulerSettings.of(**{name: value})


@pytest.mark.parametrize("tick", [0, -1, True, None, 1e300, "* * *", "soon"])
def test_a_bad_tick_is_refused_by_name(tick: Any) -> None:
    with pytest.raises(OptionError, match=r"^tick is "):
        SchedulerSettings(tick=tick)


@pytest.mark.parametrize(("index", "count"), [(1, 1), (3, 3), (-1, 3), (True, 3), ("0", 3), (1.0, 3)])
def test_an_instance_beyond_the_count_is_refused(index: Any, count: int) -> None:
    with pytest.raises(OptionError, match=f"^instance_index is .* from 0 to {count - 1}"):
        SchedulerSettings(instance_index=index, instance_count=count)


@pytest.mark.parametrize("index", [1, -1, None, "0"])
def test_an_instance_index_without_a_count_is_refused(index: Any) -> None:
    with pytest.raises(OptionError, match=r"^instance_index is .* instance_count is None; give both"):
        SchedulerSettings(instance_index=index)


@pytest.mark.parametrize(("lease", "heartbeat"), [(2.0, 0.75), (6.0, 2.1), (0.1, 0.75)])
def test_a_heartbeat_too_long_for_the_lease_is_refused(lease: float, heartbeat: float) -> None:
    with pytest.raises(OptionError, match=r"^heartbeat_seconds is .*a third of lease_seconds, which is"):
        SchedulerSettings(lease_seconds=lease, heartbeat_seconds=heartbeat)


def test_a_heartbeat_of_a_third_of_the_lease_is_taken() -> None:
    assert SchedulerSettings(lease_seconds=0.3, heartbeat_seconds=0.1).heartbeat_seconds == 0.1


@pytest.mark.parametrize(
    ("value", "hint"), [("AVERAGE", ""), ("round_robin", "did you mean 'ROUND_ROBIN'"), (None, ""), (5, "")]
)
def test_an_unknown_strategy_is_refused_with_the_nearest_name(value: Any, hint: str) -> None:
    with pytest.raises(OptionError, match=r"^sharding_strategy is .*give one of AVG_ALLOCATION") as refused:
        SchedulerSettings(sharding_strategy=value)
    assert hint in str(refused.value)


@pytest.mark.parametrize("value", ["Delete", "", None, True, []])
def test_an_unknown_fate_of_success_is_refused(value: Any) -> None:
    with pytest.raises(OptionError, match=r"^on_success is .*'keep' or 'delete'"):
        SchedulerSettings(on_success=value)


@pytest.mark.parametrize("value", [1, 0, "no", None])
def test_wake_on_commit_must_be_true_or_false(value: Any) -> None:
    with pytest.raises(OptionError, match=r"^wake_on_commit is .*True or False"):
        SchedulerSettings(wake_on_commit=value)


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [
        ("instance_idx", "instance_index"),
        ("ticks", "tick"),
        ("max_pause", "max_pause_seconds"),
        ("on_sucess", "on_success"),
        ("batch_size", "round_size"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_one(unknown: str, meant: str) -> None:
    with pytest.raises(UnknownOptionError) as refused:
        SchedulerSettings.of(**{unknown: 1})
    assert f"{unknown!r} (did you mean {meant!r}?)" in str(refused.value)
    assert isinstance(refused.value, AsyncflowError)


def test_an_option_like_none_is_refused_with_all_of_them() -> None:
    with pytest.raises(UnknownOptionError) as refused:
        SchedulerSettings.of(zzz=1)
    assert all(name in str(refused.value) for name in NAMES)


def test_all_unknown_options_are_named_at_once() -> None:
    with pytest.raises(UnknownOptionError, match=r"'ticks'.*'zzz'"):
        SchedulerSettings.of(zzz=1, ticks=2)


@given(st.sampled_from(NAMES), st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=12)))
def test_whatever_is_given_is_taken_or_refused_by_its_name(name: str, value: Any) -> None:
    taken, refusal = value, f"{name} is "
    try:
        taken = getattr(SchedulerSettings.of(**{name: value}), name)
    except OptionError as error:
        refusal = str(error)
    assert taken is value  # by identity: nan equals nothing
    assert refusal.startswith((f"{name} is ", "instance_index is ", "heartbeat_seconds is "))
