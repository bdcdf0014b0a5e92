"""Judge the errors of kafka-python: which end a task, which spend an attempt, which spend none.

Errors are known by the names of their classes, so that the tables need no client installed.
"""

from __future__ import annotations

import re

from asyncflow.scheduler.publishing.publisher import Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.suspects import Suspect
from asyncflow.scheduler.publishing.sessions.texts import one_line

# The record itself, or the right to write it, is at fault; the same record will fail again.
REJECTED = frozenset(
    {
        "ClusterAuthorizationFailedError",
        "InvalidRecordError",
        "InvalidTimestampError",
        "InvalidTopicError",
        "MessageSizeTooLargeError",
        "PolicyViolationError",
        "RecordListTooLargeError",
        "TopicAuthorizationFailedError",
        "TypeError",
        "UnsupportedForMessageFormatError",
        "ValueError",  # so kafka-python refuses an invalid topic name
    }
)

# Nothing was wrong with the record: the cluster did not answer, did not let us in, or cannot take any record
# now.
UNAVAILABLE = frozenset(
    {
        "BrokerNotAvailableError",
        "Cancelled",
        "CoordinatorLoadInProgressError",
        "CoordinatorNotAvailableError",
        "IllegalSaslStateError",
        "IllegalStateError",  # the client was closed under the record
        "KafkaConnectionError",
        "KafkaProtocolError",
        "KafkaStorageError",
        "KafkaTimeoutError",
        "LeaderNotAvailableError",
        "MetadataEmptyBrokerList",
        "NetworkExceptionError",
        "NodeNotReadyError",
        "NotEnoughReplicasAfterAppendError",
        "NotEnoughReplicasError",
        "NotLeaderForPartitionError",
        "ReplicaNotAvailableError",
        "RequestTimedOutError",
        "SaslAuthenticationFailedError",
        "StaleMetadata",
        "TooManyInFlightRequests",
        "UnsupportedSaslMechanismError",
    }
)

# The broker answered: it is one topic's partitions that cannot take a record now.
OF_TOPIC = frozenset(
    {
        "KafkaStorageError",
        "LeaderNotAvailableError",
        "NotEnoughReplicasAfterAppendError",
        "NotEnoughReplicasError",
        "NotLeaderForPartitionError",
        "ReplicaNotAvailableError",
    }
)

# What the broker says of the cluster or of a topic's name is true of the record whatever else was in the
# request.
_CERTAIN = frozenset({"ClusterAuthorizationFailedError", "InvalidTopicError"})


def judge(error: BaseException) -> Rejected | Retry | Unavailable:
    """Return what the error means for the task; what is in neither table is worth another attempt."""
    text = describe(error)
    names = _names(error)
    if not names.isdisjoint(REJECTED):
        return Rejected(text)
    if not names.isdisjoint(UNAVAILABLE):
        return Unavailable(text, is_of_topic=not names.isdisjoint(OF_TOPIC))
    return Retry(text)


def judge_reported(error: BaseException, topic: str) -> Rejected | Retry | Unavailable | Suspect:
    """Return what an error that came back for a record of ``topic`` means.

    The client gives the error of one request to all records that it holds, so a refusal makes most of them
    suspects.
    """
    outcome = judge(error)
    is_of_topic = type(error).__name__ == "TopicAuthorizationFailedError" and error.args[:1] == (topic,)
    if isinstance(outcome, Rejected) and not is_of_topic and _names(error).isdisjoint(_CERTAIN):
        return Suspect(outcome.error)
    return outcome


def describe(error: BaseException) -> str:
    """Return the error's name and arguments on one line."""
    return one_line(type(error).__name__, ", ".join(str(part) for part in error.args if part is not None))


def _names(error: BaseException) -> set[str]:
    if type(error).__name__ == "KafkaError":
        # So kafka-python passes on what the broker said when it asked for a place in the sequence.
        return set(re.findall(r"\w+Error", str(error)))
    return {kind.__name__ for kind in type(error).__mro__}
