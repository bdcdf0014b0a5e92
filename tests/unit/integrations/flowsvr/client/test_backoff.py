from __future__ import annotations

from asyncflow.errors import ServiceAwayError
from asyncflow.integrations.flowsvr.client.backoff import Backoff


def longest(least: float, most: float) -> float:
    return most


def test_the_pause_doubles_up_to_its_ceiling_and_begins_again_after_an_answer() -> None:
    backoff = Backoff(1000.0, 5000.0, longest)
    away = ServiceAwayError("away")

    assert [backoff.after(away) for _ in range(5)] == [1000.0, 2000.0, 4000.0, 5000.0, 5000.0]
    assert 4000 < backoff.seconds_left() <= 5000
    backoff.reset()
    assert backoff.seconds_left() == 0
    assert backoff.after(away) == 1000.0


def test_jitter_takes_away_up_to_half() -> None:
    assert Backoff(1.0, 8.0, lambda least, _: least).after(ServiceAwayError("away")) == 0.5


def test_the_services_own_word_goes_before_a_shorter_pause() -> None:
    backoff = Backoff(0.1, 0.5, longest)
    assert backoff.after(ServiceAwayError("busy", retry_after_seconds=3)) == 3 * 1.1
    assert backoff.after(ServiceAwayError("busy", retry_after_seconds=0)) == 0.2
