"""How many rows of a key that is read by itself go in a round."""

from __future__ import annotations

from collections import Counter

import pytest

from asyncflow.scheduler.publishing.order import Key
from asyncflow.scheduler.publishing.waves import LaterWaves
from asyncflow.scheduler.relay.keys.key_pace import FIRST_ROWS, KeyPace

HOT, OTHER = Key("moved", "hot"), Key("moved", "other")
MANY = 10_000
_QUICK = 0.00001  # seconds for a row


def go(pace: KeyPace, key: Key = HOT, *, seconds_a_row: float = _QUICK, sent: int | None = None) -> int:
    """Let one round go; return how many rows of the key it had."""
    rows = pace.rows_of(key, MANY)
    went = rows if sent is None else sent
    pace.observe({key: rows}, Counter({key: went}), seconds_a_row)
    return rows


def test_a_key_has_twice_the_rows_when_all_that_it_had_went_up_to_a_limit() -> None:
    pace = KeyPace()
    assert [go(pace) for _ in range(7)] == [32, 64, 128, 256, 512, 512, 512]


def test_a_key_that_was_held_up_begins_anew_by_itself() -> None:
    pace = KeyPace()
    for _ in range(5):
        go(pace)
        go(pace, OTHER)
    assert go(pace, sent=3) == 512
    assert pace.rows_of(HOT, MANY) == FIRST_ROWS
    assert pace.rows_of(OTHER, MANY) == 512


def test_no_more_rows_go_than_in_a_short_time_and_fewer_while_others_stand_in_the_pages() -> None:
    now = [0.0]
    pace = KeyPace(lambda: now[0])
    assert [go(pace, seconds_a_row=0.001) for _ in range(4)] == [32, 64, 100, 100]
    pace.meet_others()
    assert [go(pace, seconds_a_row=0.001) for _ in range(2)] == [40, 40]
    now[0] = 2.0
    assert [go(pace, seconds_a_row=0.001) for _ in range(3)] == [80, 100, 100]


def test_a_slow_destination_has_some_rows_of_a_key_in_each_round() -> None:
    pace = KeyPace()
    assert [go(pace, seconds_a_row=0.1) for _ in range(4)] == [32, 8, 8, 8]  # reading and settling costs something, too


def test_a_round_that_stood_still_once_is_forgotten() -> None:
    pace = KeyPace()
    for _ in range(8):
        go(pace)
    go(pace, seconds_a_row=1.0)
    assert go(pace) < FIRST_ROWS
    assert [go(pace) for _ in range(5)][-1] == 512


def test_many_keys_that_go_share_what_a_round_may_have() -> None:
    pace, keys = KeyPace(), [Key("moved", str(number)) for number in range(10)]
    for _ in range(4):
        pace.observe(
            {key: (rows := pace.rows_of(key, MANY)) for key in keys}, Counter(dict.fromkeys(keys, rows)), _QUICK
        )
    assert {pace.rows_of(key, 1000) for key in keys} == {100}
    pace.keep({keys[0]}.__contains__)
    assert pace.rows_of(keys[0], 1000) > 100


def test_a_round_with_one_wave_tells_nothing_of_the_pace() -> None:
    pace = KeyPace()
    for _ in range(4):
        go(pace)
    pace.observe({OTHER: 1}, Counter({OTHER: 1}), None)
    assert pace.rows_of(HOT, MANY) == 512


@pytest.mark.parametrize("first_wave", [0.0, 0.03, 0.05, 0.5])
def test_a_key_does_not_become_slow_by_what_its_busy_neighbours_take(first_wave: float) -> None:
    """They go in the first wave, with the first row of the key."""
    now = [0.0]
    pace = KeyPace(lambda: now[0])
    for _ in range(10):
        pace.meet_others()
        later, rows = LaterWaves(lambda: True, lambda: now[0]), pace.rows_of(HOT, MANY)
        now[0] += first_wave
        for _ in range(rows - 1):
            assert not later.why_none()
            now[0] += 0.001
        pace.observe({HOT: rows}, Counter({HOT: rows}), later.seconds_each())
    assert 32 <= pace.rows_of(HOT, MANY) <= 40
