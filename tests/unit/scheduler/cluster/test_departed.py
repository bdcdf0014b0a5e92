"""Who has departed, and how often."""

from __future__ import annotations

from asyncflow.scheduler.cluster.departed import Departed


def test_who_comes_back_and_goes_again_has_departed_anew() -> None:
    now = [0.0]
    departed = Departed(30.0, lambda: now[0])
    departed.see([], ["a", "b"])
    first = departed.departures()
    departed.see([], ["a", "b"])
    assert departed.departures() == first
    now[0] = 1.0
    departed.see(["a"], ["b"])
    departed.see([], ["a", "b"])
    assert departed.names() == {"a", "b"}
    assert departed.departures() != first
