"""How many rows of a key that is read by itself go in a round."""

from __future__ import annotations

from collections import Counter

from asyncflow.scheduler.publishing.order import Key
from asyncflow.scheduler.relay.key_pace import FIRST_ROWS, KeyPace

HOT, OTHER = Key("moved", "hot"), Key("moved", "other")
MANY = 10_000
_QUICK = 0.00001  # seconds for a row


def go(pace: KeyPace, key: Key = HOT, *, seconds_a_row: float = _QUICK, sent: int | None = None) -> int:
    """Let one round go; return how many rows of the key it had."""
    rows = pace.rows_of(key, MANY)
    went = rows if sent is None else sent
    pace.observe({key: rows}, Counter({key: went}), went * seconds_a_row)
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
        pace.observe({key: (rows := pace.rows_of(key, MANY)) for key in keys}, Counter(dict.fromkeys(keys, rows)), 0.01)
    assert {pace.rows_of(key, 1000) for key in keys} == {100}
    pace.keep({keys[0]}.__contains__)
    assert pace.rows_of(keys[0], 1000) > 100


def test_a_round_in_which_nothing_went_tells_nothing_of_the_time() -> None:
    pace = KeyPace()
    for _ in range(4):
        go(pace)
    pace.observe({OTHER: 0}, Counter(), 30.0)
    assert pace.rows_of(HOT, MANY) == 512
