"""What the broker answers, and what becomes of the message."""

from __future__ import annotations

import pytest

from asyncflow.integrations.rabbitmq.confirms import Confirms
from asyncflow.integrations.rabbitmq.outcomes import describe_error, exchange_named, judge, judge_nack, judge_return
from asyncflow.scheduler.publishing.publisher import SENT, Rejected, Retry, Unavailable

NACKED = Unavailable("nacked")


def confirms(*marks: str) -> Confirms:
    made = Confirms(lambda place: NACKED)
    for place, mark in enumerate(marks):
        made.expect(place, mark)
    return made


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (403, "ACCESS_REFUSED - access to exchange 'x' in vhost '/' refused for user 'u'", Rejected),
        (404, "NOT_FOUND - no exchange 'x' in vhost '/'", Retry),
        (406, "PRECONDITION_FAILED - message size 9 is larger than configured max size 8", Rejected),
        (501, "FRAME_ERROR - type 2", Retry),
        (541, "INTERNAL_ERROR", Retry),
        (999, "something new", Retry),
    ],
)
def test_a_channel_that_was_closed_tells_by_its_code(code: int, text: str, kind: type) -> None:
    outcome = judge(code, text)
    assert isinstance(outcome, kind)
    assert str(code) in str(outcome)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NOT_FOUND - no exchange 'user's' in vhost '/'", "user's"),
        ("ACCESS_REFUSED - access to exchange 'x' in vhost '/' refused for user 'u'", "x"),
        ("ACCESS_REFUSED - write access to exchange 'x' in vhost '/' refused for user 'u'", "x"),
        ("ACCESS_REFUSED - cannot publish to internal exchange 'x' in vhost '/'", "x"),
        ("ACCESS_REFUSED - access to topic 'k' in exchange 'x' in vhost '/' refused for user 'u'", None),
        ("PRECONDITION_FAILED - message size 9 is larger than configured max size 8", None),
    ],
)
def test_the_exchange_that_an_answer_is_about_is_known_and_no_other(text: str, name: str | None) -> None:
    assert exchange_named(text) == name


def test_a_nack_is_the_topic_s_trouble_and_a_return_an_attempt() -> None:
    assert judge_nack("x").is_of_topic
    assert isinstance(judge_return(312, "NO_ROUTE", "x", "k"), Retry)


def test_an_error_of_the_client_is_told_by_its_innermost_cause() -> None:
    inner = ConnectionRefusedError(111, "Connection refused")
    outer = RuntimeError(RuntimeError(inner))
    assert describe_error(outer) == "ConnectionRefusedError: 111, Connection refused"


def test_confirms_settle_by_tag_one_by_one_and_all_before() -> None:
    them = confirms(*"abcdef")
    them.take_confirm(2, multiple=False, is_ack=True)
    them.take_confirm(4, multiple=True, is_ack=False)
    assert them.outcomes == {1: SENT, 0: NACKED, 2: NACKED, 3: NACKED}
    them.take_confirm(0, multiple=True, is_ack=True)
    assert them.pending == {}
    assert them.outcomes[5] == SENT


def test_a_returned_message_is_not_sent_though_it_is_confirmed() -> None:
    them = confirms(*"abc")
    them.take_return("b", Retry("no route"))
    assert them.outcomes == {}
    them.take_confirm(3, multiple=True, is_ack=True)
    assert them.outcomes == {0: SENT, 1: Retry("no route"), 2: SENT}


def test_a_confirm_of_another_batch_settles_nothing() -> None:
    them = confirms("a")
    them.begin()
    them.expect(0, "b")
    them.take_confirm(1, multiple=False, is_ack=True)
    assert them.outcomes == {}
    them.take_confirm(2, multiple=False, is_ack=True)
    assert them.outcomes == {0: SENT}


def test_two_of_one_id_that_both_came_back_are_both_known() -> None:
    them = confirms("a", "a", "a")
    them.take_return("a", Retry("1"))
    them.take_return("a", Retry("2"))
    them.take_confirm(3, multiple=True, is_ack=True)
    assert them.outcomes == {0: Retry("1"), 1: Retry("2"), 2: SENT}
