"""Judge the errors of librdkafka: which end a task, which spend an attempt, which spend none.

Codes are named as the attributes of ``confluent_kafka.KafkaError``; a leading underscore marks the client's
own.
"""

from __future__ import annotations

from typing import Protocol

from asyncflow.scheduler.publishing.publisher import Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.suspects import Suspect
from asyncflow.scheduler.publishing.sessions.texts import one_line


class ClientError(Protocol):
    """Describe what is read of a ``confluent_kafka.KafkaError``."""

    def name(self) -> str:
        """Return the code's name."""

    def str(self) -> str:
        """Return the text for people."""


# The record itself, or the right to write it, is at fault; the same record will fail again.
REJECTED = frozenset(
    {
        "CLUSTER_AUTHORIZATION_FAILED",
        "INVALID_RECORD",
        "INVALID_TIMESTAMP",
        "MSG_SIZE_TOO_LARGE",
        "POLICY_VIOLATION",
        "RECORD_LIST_TOO_LARGE",
        "TOPIC_AUTHORIZATION_FAILED",
        "TOPIC_EXCEPTION",  # an invalid name, or an internal topic
        "UNSUPPORTED_FOR_MESSAGE_FORMAT",
        "_INVALID_ARG",
    }
)

# Nothing was wrong with the record: the cluster did not answer, did not let us in, or cannot take any record
# now.
UNAVAILABLE = frozenset(
    {
        "BROKER_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "ILLEGAL_SASL_STATE",
        "KAFKA_STORAGE_ERROR",
        "LEADER_NOT_AVAILABLE",
        "NETWORK_EXCEPTION",
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "NOT_LEADER_FOR_PARTITION",
        "REPLICA_NOT_AVAILABLE",
        "REQUEST_TIMED_OUT",
        "SASL_AUTHENTICATION_FAILED",
        "UNSUPPORTED_SASL_MECHANISM",
        "_ALL_BROKERS_DOWN",
        "_AUTHENTICATION",
        "_DESTROY",
        "_MSG_TIMED_OUT",
        "_PURGE_INFLIGHT",
        "_PURGE_QUEUE",
        "_RESOLVE",
        "_SSL",
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_TRANSPORT",
        "_WAIT_COORD",
    }
)

# The broker answered: it is one topic's partitions that cannot take a record now.
OF_TOPIC = frozenset(
    {
        "KAFKA_STORAGE_ERROR",
        "LEADER_NOT_AVAILABLE",
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "NOT_LEADER_FOR_PARTITION",
        "REPLICA_NOT_AVAILABLE",
    }
)

# What the broker says of the cluster or of a topic is true of the record whatever else was in the request.
_CERTAIN = frozenset({"CLUSTER_AUTHORIZATION_FAILED", "TOPIC_AUTHORIZATION_FAILED", "TOPIC_EXCEPTION", "_INVALID_ARG"})

# The record was taken back from the client, or dropped by one that had failed; why is known from elsewhere.
WITHDRAWN = frozenset({"_FATAL", "_PURGE_INFLIGHT", "_PURGE_QUEUE"})

# librdkafka gives these reasons once for a topic, and afterwards calls it unknown or refuses it from memory.
TOPIC_REFUSED = frozenset({"TOPIC_AUTHORIZATION_FAILED", "TOPIC_EXCEPTION"})


def judge(error: ClientError) -> Rejected | Retry | Unavailable:
    """Return what the error means for the task; what is in neither table is worth another attempt."""
    text = describe(error)
    if error.name() in REJECTED:
        return Rejected(text)
    if error.name() in UNAVAILABLE:
        return Unavailable(text, is_of_topic=error.name() in OF_TOPIC)
    return Retry(text)


def judge_reported(error: ClientError) -> Rejected | Retry | Unavailable | Suspect:
    """Return what an error that came back for a record means.

    The broker refuses whole requests, and librdkafka reports that for each record in one; so a refusal for
    the sake of a record makes all of them suspects.
    """
    outcome = judge(error)
    return Suspect(outcome.error) if isinstance(outcome, Rejected) and error.name() not in _CERTAIN else outcome


def describe(error: ClientError) -> str:
    """Return the error's name and text on one line."""
    return one_line(error.name(), error.str())
