"""The oracle finds what it is there to find: a judge that sees nothing would pass every crash."""

from __future__ import annotations

import json

from tests.chaos.oracle import judge


def test_a_topic_that_holds_each_committed_message_once_is_clean() -> None:
    verdict = judge("calm", ["a", "b"], ["b", "a"])

    assert verdict.is_clean
    assert (verdict.committed, verdict.delivered, verdict.duplicates) == (2, 2, 0)


def test_a_committed_message_that_was_not_delivered_is_lost() -> None:
    verdict = judge("loss", ["a", "b"], ["a"])

    assert verdict.lost == ("b",)
    assert not verdict.is_clean
    assert "lost: b" in str(verdict)


def test_each_further_copy_of_a_message_is_a_duplicate_and_no_fault() -> None:
    verdict = judge("copies", ["a", "b"], ["a", "a", "b", "a"])

    assert verdict.duplicated == {"a": 2}
    assert (verdict.delivered, verdict.duplicates) == (4, 2)
    assert verdict.is_clean


def test_a_delivered_message_that_was_never_committed_is_alien() -> None:
    verdict = judge("forgery", ["a"], ["a", "z"])

    assert verdict.alien == ("z",)
    assert not verdict.is_clean
    assert "alien: z" in str(verdict)


def test_a_copy_of_one_message_does_not_hide_the_loss_of_another() -> None:
    verdict = judge("swap", ["a", "b"], ["a", "a"])

    assert (verdict.committed, verdict.delivered) == (2, 2)
    assert verdict.lost == ("b",)


def test_the_verdict_is_told_as_one_line_of_json() -> None:
    line = judge("told", ["a", "b"], ["a", "a", "z"], seconds_to_recover=1.25).as_json()

    assert "\n" not in line
    assert json.loads(line) == {
        "name": "told",
        "committed": 2,
        "delivered": 3,
        "lost": 1,
        "duplicated": 1,
        "alien": 1,
        "seconds_to_recover": 1.25,
    }
