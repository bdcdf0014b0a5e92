"""What a proxy's answers mean."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from asyncflow.integrations.rocketmq.outcomes import describe, judge_all, unreached
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Rejected, Retry, Unavailable


def judged(*codes: str, fifo: bool = True) -> Outcome:
    return judge_all([(code, "as it is told") for code in codes], "users", fifo=fifo)


def test_only_what_is_ok_for_the_request_and_for_its_message_is_sent() -> None:
    assert judged("OK", "OK") == SENT
    assert judged("OK", "FORBIDDEN") == Rejected("FORBIDDEN: as it is told")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("MESSAGE_BODY_TOO_LARGE", Rejected),
        ("ILLEGAL_MESSAGE_PROPERTY_KEY", Rejected),
        ("INTERNAL_SERVER_ERROR", Retry),
        ("BAD_REQUEST", Retry),
        ("59999", Retry),
        ("TOO_MANY_REQUESTS", Unavailable),
        ("UNAUTHORIZED", Unavailable),
        ("MASTER_PERSISTENCE_TIMEOUT", Unavailable),
        ("HA_NOT_AVAILABLE", Unavailable),
    ],
)
def test_an_answer_is_for_good_or_for_now(code: str, kind: type) -> None:
    outcome = judged(code)
    assert isinstance(outcome, kind)
    assert getattr(outcome, "error", "") == f"{code}: as it is told"


@pytest.mark.parametrize("fifo", [True, False])
def test_a_topic_that_is_not_there_or_of_another_type_is_judged_apart_with_the_remedy(fifo: bool) -> None:
    for code in ("TOPIC_NOT_FOUND", "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE"):
        outcome = judged(code, fifo=fifo)
        assert isinstance(outcome, Unavailable)
        assert outcome.is_of_topic
        assert "'users'" in outcome.error


def test_an_error_of_grpc_is_told_in_a_line() -> None:
    error = SimpleNamespace(code=lambda: SimpleNamespace(name="UNAVAILABLE"), details=lambda: "a\nb")
    assert unreached(error) == Unavailable("UNAVAILABLE: a b")
    assert describe(ValueError("x")) == "ValueError: x"
