"""What JetStream answers, and what becomes of the message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncflow.integrations.nats.acks import Acks
from asyncflow.integrations.nats.messages import NatsMessage
from asyncflow.integrations.nats.outcomes import describe, judge, judge_lack, subject_forbidden
from asyncflow.scheduler.publishing.publisher import SENT, Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.suspects import Suspect

FULL = {"code": 503, "err_code": 10077, "description": "maximum messages exceeded"}


def error(code: int, err_code: int) -> bytes:
    return json.dumps({"error": {"code": code, "err_code": err_code, "description": "why"}, "stream": "S"}).encode()


@pytest.mark.parametrize("answer", [b'{"stream":"S","seq":1}', b'{"stream":"S", "seq":7, "duplicate": true}'])
def test_an_acknowledgement_is_one_also_of_a_duplicate(answer: bytes) -> None:
    assert judge(answer) == SENT


@pytest.mark.parametrize(
    ("code", "err_code", "kind"),
    [
        (400, 10054, Rejected),  # too large for the stream
        (400, 10097, Rejected),  # headers too large
        (400, 10109, Rejected),  # sealed
        (503, 10077, Unavailable),  # full, or cannot store
        (503, 10023, Unavailable),  # insufficient resources
        (500, 10047, Unavailable),  # no room on the disk
        (500, 10028, Unavailable),  # no room in memory
        (400, 10002, Unavailable),  # the account's limits
        (500, 10009, Unavailable),  # no leader
        (503, 10008, Unavailable),  # temporarily unavailable
        (500, 10118, Unavailable),  # offline
        (409, 10158, Unavailable),  # it is being stored just now
        (429, 10167, Unavailable),  # overrun
        (503, 19999, Unavailable),  # new, and of the server
        (400, 10071, Retry),  # wrong last sequence
        (500, 19999, Retry),
    ],
)
def test_an_error_is_judged_by_its_code(code: int, err_code: int, kind: type) -> None:
    outcome = judge(error(code, err_code))
    assert isinstance(outcome, kind)
    assert str(outcome.error) == f"{err_code}: why"  # type: ignore[union-attr]
    assert getattr(outcome, "is_of_topic", True)


@pytest.mark.parametrize("answer", [b"", b"ok", b"[]", b"{}", b'{"stream":"S"}', b'{"seq":1}', b"\xff"])
def test_an_answer_that_is_no_acknowledgement_costs_an_attempt(answer: bytes) -> None:
    outcome = judge(answer)
    assert isinstance(outcome, Retry)
    assert outcome.error.startswith("who answered is no stream")


@pytest.mark.parametrize(
    ("answer", "is_unheard", "kind", "why"),
    [
        ({"streams": None}, True, Rejected, "make a stream with 'orders' among its subjects"),
        ({"streams": []}, False, Retry, "those who listen are no stream"),
        ({"streams": ["S"]}, True, Unavailable, "the stream S has no leader"),
        ({"streams": ["S"]}, False, Unavailable, "the stream S acknowledged nothing in time"),
        ({"error": FULL}, True, Unavailable, "JetStream does not serve: 10077"),
        (None, True, Unavailable, "JetStream's API does not answer"),
        (None, False, Unavailable, "no acknowledgement in time"),
    ],
)
def test_what_is_not_acknowledged_is_judged_by_the_streams_there_are(
    answer: dict[str, Any] | None, is_unheard: bool, kind: type, why: str
) -> None:
    outcome = judge_lack("orders", answer, is_unheard=is_unheard)
    assert isinstance(outcome, kind)
    assert why in str(outcome)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ('nats: permissions violation for publish to "a.b"', "a.b"),
        (r'nats: permissions violation for publish to "a\"b\\c"', 'a"b\\c'),
        ('nats: permissions violation for subscription to "_inbox.x.*"', None),
        ("nats: maximum payload violation", None),
    ],
)
def test_the_subject_that_is_forbidden_is_known(text: str, subject: str | None) -> None:
    assert subject_forbidden(text) == subject


def test_an_error_of_the_client_is_told_on_one_line() -> None:
    assert describe(ConnectionRefusedError(111, "Connection\nrefused")) == (
        "ConnectionRefusedError: [Errno 111] Connection refused"
    )


def acks(*subjects: str, last_number: int = 0) -> Acks:
    messages = {place: NatsMessage(subject, b"", {}, 0) for place, subject in enumerate(subjects)}
    return Acks(messages, last_number)


def test_answers_settle_by_their_numbers_and_each_once() -> None:
    them = acks("a", "b", "c", last_number=7)
    assert [number for number, _ in them.numbered()] == [8, 9, 10]
    them.settle(9, SENT)
    them.settle(9, Retry("late"))
    them.settle(1, SENT)  # of another batch
    them.miss(8)
    assert (them.outcomes, them.unheard, them.silent()) == ({1: SENT}, {0: "a"}, {2: "c"})
    assert them.last_number == 10


def test_a_forbidden_subject_is_told_for_its_own_messages() -> None:
    them = acks("a.X", "b", "a.X")
    them.forbid("a.x", "no")
    assert them.outcomes == {0: Rejected("no"), 2: Rejected("no")}
    assert them.silent() == {1: "b"}


def test_where_two_subjects_may_be_meant_each_is_a_suspect() -> None:
    them = acks("a.X", "a.x")
    them.forbid("a.x", "no")
    assert them.outcomes == {0: Suspect("no"), 1: Suspect("no")}
