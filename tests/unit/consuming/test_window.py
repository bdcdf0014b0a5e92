"""What a consumer holds: in which order it is delivered, and who waits for whom."""

from __future__ import annotations

import pytest

from asyncflow.consuming.delivered import Delivered
from asyncflow.consuming.window import Window


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def delivery(number: int, key: bytes | None = None, topic: str = "coupons") -> Delivered:
    return Delivered(topic, str(number), key, b"{}", {}, number)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def window(clock: Clock) -> Window:
    return Window(clock)


def delivered(window: Window) -> list[str]:
    """Return, in order, what is due, each of which succeeds."""
    found = []
    while (message := window.next_due()) is not None:
        window.done(message)
        found.append(message.within)
    return found


def test_what_comes_is_delivered_in_order(window: Window) -> None:
    window.add(delivery(n) for n in range(3))
    assert delivered(window) == ["0", "1", "2"]
    assert len(window) == 0


def test_what_comes_twice_is_held_once(window: Window) -> None:
    window.add([delivery(0)])
    window.add([delivery(0), delivery(1)])
    assert delivered(window) == ["0", "1"]


def test_one_that_waits_lets_those_of_its_key_wait_and_others_go_on(window: Window, clock: Clock) -> None:
    a = [delivery(n, b"a") for n in range(3)]
    window.add([*a, delivery(3, b"b"), delivery(4), delivery(5, b"a", "other topic")])
    assert window.next_due() == a[0]
    window.wait(a[0], 10.0)
    assert delivered(window) == ["3", "4", "5"]
    assert window.seconds_until_due(60.0) == 10.0
    window.add([delivery(6, b"a")])
    assert delivered(window) == []
    assert len(window) == 4
    clock.now += 10.0
    assert delivered(window) == ["0", "1", "2", "6"]


def test_those_behind_one_come_before_what_came_later_and_wait_for_the_next_that_fails(
    window: Window, clock: Clock
) -> None:
    a = [delivery(n, b"a") for n in range(3)]
    window.add(a)
    window.wait(window.next_due() or a[0], 1.0)
    assert window.next_due() is None
    clock.now += 1.0
    assert window.next_due() == a[0]
    window.done(a[0])
    assert window.next_due() == a[1]
    window.wait(a[1], 1.0)
    assert window.next_due() is None
    clock.now += 1.0
    assert delivered(window) == ["1", "2"]


def test_messages_without_a_key_wait_for_none(window: Window) -> None:
    first, second = delivery(0), delivery(1)
    window.add([first, second])
    window.wait(window.next_due() or first, 1.0)
    assert window.next_due() == second


def test_what_is_not_done_is_left(window: Window) -> None:
    window.add(delivery(n, b"a") for n in range(3))
    window.done(window.next_due() or delivery(0))
    window.wait(window.next_due() or delivery(1), 1.0)
    assert [one.within for one in window.left()] == ["1", "2"]


def test_attempts_are_counted_for_each_subscriber_until_a_message_is_done(window: Window) -> None:
    message = delivery(0)
    window.add([message])
    assert [window.begin(message, name) for name in ("one", "one", "other")] == [1, 2, 1]
    window.refund(message, "one")
    assert window.begin(message, "one") == 2
    window.done(message)
    assert window.begin(message, "one") == 1


def test_messages_are_told_by_their_id_or_else_by_their_place() -> None:
    named = Delivered("coupons", "7", None, b"{}", {"message-id": b"42", "message-type": b"coupon.granted"}, None)
    assert (named.id, named.task_type, named.place) == ("42", "coupon.granted", "coupons/7")
    plain = delivery(7)
    assert (plain.id, plain.task_type) == ("coupons/7", "coupons")
    assert len(delivery(7, topic="t" * 300).id) <= 255


def test_attempts_are_counted_on_where_another_client_brings_a_message_to_another_place(window: Window) -> None:
    named = delivery(0)._replace(headers={"message-id": b"42"})
    window.add([named])
    assert window.begin(named, "one") == 1
    other = window.anew()
    assert len(other) == 0
    assert other.begin(named._replace(within="another"), "one") == 2
    other.done(named._replace(within="another"))
    assert other.anew().begin(named, "one") == 1


def test_no_more_counts_are_kept_than_their_bound_and_the_oldest_go(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncflow.consuming.window.MOST_COUNTED", 2)
    assert [window.begin(delivery(n), "one") for n in (0, 1, 0, 2)] == [1, 1, 2, 1]
    assert [window.begin(delivery(n), "one") for n in (0, 2, 1)] == [3, 2, 1]
