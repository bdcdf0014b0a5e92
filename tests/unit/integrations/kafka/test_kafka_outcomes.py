"""Which errors end a task, which spend an attempt, which spend none."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from asyncflow.integrations.kafka.confluent import outcomes as confluent_outcomes
from asyncflow.integrations.kafka.python import outcomes as python_outcomes
from asyncflow.scheduler.publishing.publisher import Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.suspects import Suspect
from asyncflow.scheduler.publishing.sessions.texts import MAX_TEXT_CHARS, one_line


class Told(NamedTuple):
    """Stand for a ``confluent_kafka.KafkaError``, which is there only where the library is."""

    code: str

    def name(self) -> str:
        return self.code

    def str(self) -> str:
        return "told\nin two lines"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("MSG_SIZE_TOO_LARGE", Rejected),
        ("TOPIC_EXCEPTION", Rejected),
        ("TOPIC_AUTHORIZATION_FAILED", Rejected),
        ("CLUSTER_AUTHORIZATION_FAILED", Rejected),
        ("UNSUPPORTED_FOR_MESSAGE_FORMAT", Rejected),
        ("INVALID_RECORD", Rejected),
        ("_MSG_TIMED_OUT", Unavailable),
        ("_TRANSPORT", Unavailable),
        ("_SSL", Unavailable),
        ("NOT_ENOUGH_REPLICAS", Unavailable),
        ("SASL_AUTHENTICATION_FAILED", Unavailable),
        ("UNKNOWN_TOPIC_OR_PART", Retry),
        ("_UNKNOWN_TOPIC", Retry),
        ("_INVALID_DIFFERENT_RECORD", Retry),
        ("OUT_OF_ORDER_SEQUENCE_NUMBER", Retry),
        ("SOMETHING_OF_TOMORROW", Retry),
    ],
)
def test_an_error_of_librdkafka_is_judged_by_its_name(code: str, kind: type) -> None:
    outcome = confluent_outcomes.judge(Told(code))
    assert type(outcome) is kind
    assert outcome.error == f"{code}: told in two lines"


def test_the_tables_of_librdkafka_name_real_codes() -> None:
    library = pytest.importorskip("confluent_kafka")
    known = {name for name in dir(library.KafkaError) if name.lstrip("_").isupper()}
    known |= {library.KafkaError(code).name() for code in range(130)}
    tables = confluent_outcomes.REJECTED | confluent_outcomes.UNAVAILABLE | confluent_outcomes.WITHDRAWN
    assert tables - known == set()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("MessageSizeTooLargeError", Rejected),
        ("InvalidTopicError", Rejected),
        ("TopicAuthorizationFailedError", Rejected),
        ("ClusterAuthorizationFailedError", Rejected),
        ("UnsupportedForMessageFormatError", Rejected),
        ("InvalidRecordError", Rejected),
        ("KafkaTimeoutError", Unavailable),
        ("KafkaConnectionError", Unavailable),
        ("InvalidReceiveError", Unavailable),
        ("NotEnoughReplicasError", Unavailable),
        ("SaslAuthenticationFailedError", Unavailable),
        ("UnknownTopicOrPartitionError", Retry),
        ("OutOfOrderSequenceNumberError", Retry),
        ("UnknownError", Retry),
    ],
)
def test_an_error_of_kafka_python_is_judged_by_its_class(name: str, kind: type) -> None:
    errors = pytest.importorskip("kafka.errors")
    outcome = python_outcomes.judge(getattr(errors, name)("told\nin two lines"))
    assert type(outcome) is kind
    assert outcome.error == f"{name}: told in two lines"


def test_the_tables_of_kafka_python_name_real_classes() -> None:
    errors = pytest.importorskip("kafka.errors")
    tables = python_outcomes.REJECTED | python_outcomes.UNAVAILABLE
    assert {name for name in tables if not hasattr(errors, name)} == {"TypeError", "ValueError"}


def test_a_refusal_that_kafka_python_wraps_is_recognised() -> None:
    errors = pytest.importorskip("kafka.errors")
    wrapped = errors.KafkaError(f"Unexpected error: {errors.ClusterAuthorizationFailedError()}")
    assert type(python_outcomes.judge(wrapped)) is Rejected


def test_a_refused_request_makes_its_records_suspects_only() -> None:
    errors = pytest.importorskip("kafka.errors")
    assert type(python_outcomes.judge_reported(errors.MessageSizeTooLargeError(), "t")) is Suspect
    assert type(confluent_outcomes.judge_reported(Told("MSG_SIZE_TOO_LARGE"))) is Suspect


def test_what_is_said_of_a_topic_is_certain_for_that_topic() -> None:
    errors = pytest.importorskip("kafka.errors")
    assert type(python_outcomes.judge_reported(errors.TopicAuthorizationFailedError("t"), "t")) is Rejected
    assert type(python_outcomes.judge_reported(errors.TopicAuthorizationFailedError("t"), "other")) is Suspect
    assert type(confluent_outcomes.judge_reported(Told("TOPIC_AUTHORIZATION_FAILED"))) is Rejected


def test_a_text_is_one_short_line() -> None:
    text = one_line("NAME", "word \n" * 500)
    assert "\n" not in text
    assert len(text) == MAX_TEXT_CHARS
    assert one_line("NAME", "") == "NAME"
