"""An instance tells of its settings, whatever they are: a lease hangs on it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import orjson
import pytest

from asyncflow import SchedulerSettings
from asyncflow.scheduler.telling.teller import settings_that_differ


def strategy(seed: int, *_: Any) -> dict[str, Iterable[int]]:
    return {str(seed): ()}


class Heir:
    def __call__(self, *_: Any) -> dict[str, Iterable[int]]:
        return {}


@pytest.mark.parametrize(
    ("given", "told"),
    [(strategy, "strategy"), (partial(strategy, 1), "partial"), (Heir(), "Heir"), ("ROUND_ROBIN", "ROUND_ROBIN")],
)
def test_each_kind_of_setting_has_a_name(given: Any, told: str) -> None:
    settings = settings_that_differ(SchedulerSettings(sharding_strategy=given))
    assert settings == {"sharding_strategy": told}
    assert orjson.loads(orjson.dumps(settings)) == settings
