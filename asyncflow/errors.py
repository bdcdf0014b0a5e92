"""Every error that asyncflow raises.

AsyncflowError
├── RefusedError               a task that was refused at the door; nothing was written
│   ├── InvalidTaskTypeError
│   ├── UnknownTaskTypeError
│   ├── InvalidKeyError
│   ├── InvalidHeadersError
│   ├── InvalidPriorityError
│   ├── InvalidDelayError
│   ├── InvalidRunAtError
│   ├── InvalidArgumentsError
│   ├── PayloadMissingError
│   ├── PayloadNotSerializableError
│   ├── PayloadTooLargeError
│   └── CharacterSetError
├── InvalidStageError          a stage's name or context that the row cannot hold
├── InvalidResultError         what a handler returned cannot be kept
├── EncryptionError            a payload could not be encrypted or decrypted
│   ├── KeyGoneError
│   └── PayloadAlteredError
├── ClaimLostError             somebody else has the task by now, or it is settled
├── UnsettledEffectError       a transactional handler changed what could not commit with its task's outcome
├── AroundError                a context manager of Outbox(around=...) raised an error of its own
├── InvalidSignatureError      a webhook that was not signed with a known secret, or too long ago
├── InvalidMessageIdError      an inbox id or consumer name that cannot be told apart safely
├── WrongTargetError           publish() was given something that is no Session or Connection
├── NotTransactionalError      the connection commits each statement by itself, or the table has no transactions
├── OptionError                an option's value is at fault
│   ├── UnknownOptionError
│   ├── UnknownDatabaseError
│   └── DuplicateTaskTypeError
├── UnsupportedDatabaseError   the dialect has no implementation here, or the server is set otherwise than we can work
├── TablesMissingError         the database lacks asyncflow's tables
├── ArchiveDamagedError        a file of the archive cannot be read to its end
├── ArchiveBusyError           another process writes a file of the archive
├── IncompatibleVersionError   the tables, or instances that run, are of a version that does not go with this one
├── ShardCountMismatchError    rows were sharded by another count
├── SchedulersRunError         what was asked needs that no scheduler runs
├── TaskNotFoundError          there is no task with this id
├── UnroutedDestinationError   a task type names a destination without a publisher
├── SchedulerStartedError      drain() after start()
├── SchedulerStoppedError      start() after stop()
├── ForkedError                what the parent of a fork uses was asked for in the child
├── LeasesLostError            a drain could not keep its shards
├── EventLoopError             a coroutine handler uses the engine of another event loop
├── JobClockError              a host's clock is too far from the database's
├── BuilderError               a message builder broke its contract for a page or a task
├── PublisherError             a publisher broke its contract for a batch
├── UnreachableError           there is no connection to a broker, or to the server of a lock
├── UndeliveredError           a drain could not send a message
├── NoticeNotSentError         a notice was not taken by whom it was for
├── TaskServiceError           what a task service answered, or that it did not
│   ├── ServiceAwayError       it cannot be reached, or asks to come back later
│   │   └── UnreadableAnswerError
│   └── ServiceRefusedError    it refused a request: wrong token, unknown type, a field at fault
├── LockBusyError              others have the lock
├── LockLostError              the lock's lease ran out, or its server lost it
├── RegistryAwayError          the registry's own servers did not answer, or refused
│   └── RegistryRefusedError
├── ConnectionSilentError      the pool, the server or the network gave no connection in time
├── OutcomeUnknownError        nobody knows whether a COMMIT happened
├── RowsLockedError            somebody held locks on rows until the end
├── WriteIgnoredError          the database took a write of tasks, and changed nothing
├── ServiceBusyError           the task service had no thread or database for a request in time
├── MissingExtraError          an optional client library is not installed
├── LibraryTooOldError         a library is older than what this one works with
└── TargetNotFoundError        the command line names a module or attribute that is not there
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID


class AsyncflowError(Exception):
    """Be the root of every error raised on purpose by asyncflow."""


class RefusedError(AsyncflowError, ValueError):
    """A task was refused at the door; nothing was written."""


class InvalidTaskTypeError(RefusedError):
    """The task type is empty, too long or not text; use a short stable name such as ``user.registered``."""


class UnknownTaskTypeError(RefusedError):
    """The task type was never declared; declare it with ``outbox.message(...)`` where the outbox is made."""


class InvalidKeyError(RefusedError):
    """The key is empty, too long or not text; use a short business key or leave it out."""


class InvalidHeadersError(RefusedError):
    """A header is not text, has a reserved name, or all of them together are too large."""


class InvalidPriorityError(RefusedError):
    """The priority is not a whole number of seconds within its range."""


class InvalidDelayError(RefusedError):
    """The delay is negative, not finite or beyond its range; give seconds from now."""


class InvalidRunAtError(RefusedError):
    """The moment has no time zone, or is given together with a delay; give one aware datetime."""


class InvalidArgumentsError(RefusedError):
    """The arguments do not fit the handler's signature; the handler could not be called with them.

    ``argument`` names the first that is at fault, where it is one of them.
    """

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class PayloadMissingError(RefusedError):
    """The task has no payload and its type has no builder that could make one."""


class PayloadNotSerializableError(RefusedError):
    """The payload cannot be written as JSON; give JSON-able values, or bytes with a content type."""


class PayloadTooLargeError(RefusedError):
    """The message exceeds the limit; store the body elsewhere and publish a reference, or raise the limit."""


class CharacterSetError(RefusedError):
    """The connection's character set would alter a text; have utf8mb4, or UTF8 on PostgreSQL, for all of it."""


class InvalidStageError(AsyncflowError, ValueError):
    """The stage is no short text, or its context is no JSON or too large."""


class InvalidResultError(AsyncflowError, ValueError):
    """What the handler returned is too large to be kept, or would not come back from JSON as it is."""


class EncryptionError(AsyncflowError):
    """A payload could not be encrypted or decrypted here, now; another process, or a later attempt, may do it."""


class KeyGoneError(EncryptionError):
    """The key of a payload is gone: nobody can read it any more; its task fails at once."""


class PayloadAlteredError(EncryptionError):
    """A ciphertext is not what was written for this task: it was changed, or belongs to another one."""


class ClaimLostError(AsyncflowError):
    """The claim ran out and the task was given back, or it is settled; nothing was written."""


class UnsettledEffectError(AsyncflowError):
    """A transactional handler's statement could not commit together with its task's outcome; it was not sent.

    Or the handler's transaction is one that its framework rolls back, with all that was done in it.
    Or a subscriber would have parted its effect from the memory of its message in such a way.
    """


class AroundError(AsyncflowError):
    """A context manager of ``Outbox(around=...)`` raised an error, which is the cause; the attempt failed."""


class InvalidSignatureError(AsyncflowError, ValueError):
    """A webhook lacks a signature of a known secret, or is too old; answer 401, and do nothing of what it asks for."""


class InvalidMessageIdError(AsyncflowError, ValueError):
    """The inbox cannot remember this message id or consumer name exactly."""


class WrongTargetError(AsyncflowError, TypeError):
    """Tasks are written into a Session, an AsyncSession or a Core Connection that the caller owns."""


class NotTransactionalError(AsyncflowError):
    """The connection or the table has no transactions: the task would not share the fate of the business rows."""


class OptionError(AsyncflowError, ValueError):
    """An option's value is at fault; the message names the option, the value and what is allowed."""


class UnknownOptionError(OptionError, TypeError):
    """An option has a name that nothing reads."""

    @classmethod
    def among(
        cls, where: str, unknown: Iterable[str], known: Iterable[str], elsewhere: Mapping[str, str] | None = None
    ) -> UnknownOptionError:
        """Name the unknown options of ``where`` and, for each, ``elsewhere`` it belongs, or the nearest known one."""
        known, elsewhere = sorted(known), elsewhere or {}
        told = {name: f" ({place})" for name, place in elsewhere.items()}
        hints = "; no option ".join(f"{name!r}{told.get(name) or nearest(name, known)}" for name in unknown)
        return cls(f"{where} has no option {hints}. Known: {', '.join(known)}")


_MOST_NEAR = 1000  # names that one is compared with, at some twenty microseconds each


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known name most like ``name``, or nothing."""
    if len(name) > 200:
        return ""  # a comparison takes as long as the name is
    names = list(islice(known, _MOST_NEAR + 1))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5) if len(names) <= _MOST_NEAR else ()
    return f" (did you mean {near[0]!r}?)" if near else ""


class UnknownDatabaseError(OptionError):
    """There are several databases, and the name that was given is none of theirs, or one has to be named."""


class DuplicateTaskTypeError(OptionError):
    """A task type was declared twice; its configuration would depend on the order of imports."""


class UnsupportedDatabaseError(AsyncflowError):
    """The database's dialect is not one of MySQL, MariaDB, PostgreSQL and SQLite, or its server is set otherwise."""


class TablesMissingError(AsyncflowError):
    """The database lacks asyncflow's tables; run ``asyncflow init-db`` or your Alembic migration."""


class ArchiveDamagedError(AsyncflowError):
    """A file of the archive is torn, or is none; what stands before the place that is named can be read."""


class ArchiveBusyError(AsyncflowError):
    """Another process writes a file of the archive; it is left to that one."""


class IncompatibleVersionError(AsyncflowError):
    """The tables, or instances that run, are of a version beside which this one cannot work."""


class ShardCountMismatchError(AsyncflowError):
    """The database was sharded with another shard_count; every process must use the recorded one."""


class SchedulersRunError(AsyncflowError):
    """Schedulers run that own shards; stop them all first."""


class TaskNotFoundError(AsyncflowError):
    """There is no task with this id; it was deleted when its retention was over, or the id is another outbox's."""


class UnroutedDestinationError(AsyncflowError):
    """A declared task type goes to a destination for which the scheduler has no publisher."""


class SchedulerStartedError(AsyncflowError):
    """A started scheduler relays on threads of its own; call ``drain`` instead of ``start``."""


class SchedulerStoppedError(AsyncflowError):
    """A stopped scheduler cannot start again, for its publishers are closed; make a new one."""


class LeasesLostError(AsyncflowError):
    """A drain could not keep its shards: looks take longer than ``lease_seconds``, or the registry does not answer."""


class ForkedError(AsyncflowError):
    """The parent of this process uses it already; make one in the child, with clients of its own."""


class EventLoopError(AsyncflowError):
    """An AsyncEngine belongs to the event loop that used it first; give coroutine handlers an engine of their own."""


class JobClockError(AsyncflowError):
    """A job's host and the database disagree about the time by more than the job allows; set the host's clock."""


class BuilderError(AsyncflowError):
    """A message builder returned something else than one payload for each task of its page."""


class PublisherError(AsyncflowError):
    """A publisher returned something else than one outcome for each record of its batch."""


class UnreachableError(AsyncflowError):
    """The broker, or the server of a lock, cannot be reached; a publisher says so by the outcome Unavailable alone."""


class UndeliveredError(AsyncflowError):
    """A drain could not send a message: the destination is away, asks for another attempt, or refused it."""


class TaskServiceError(AsyncflowError):
    """The task service did not do what it was asked."""


class ServiceAwayError(TaskServiceError):
    """The task service cannot be reached, has no database, or limits the rate; ask again later.

    ``retry_after_seconds`` is its own word for when, or None. ``may_have_worked``: the answer may have got lost.
    """

    def __init__(
        self, message: str, *, retry_after_seconds: float | None = None, may_have_worked: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.may_have_worked = may_have_worked


class UnreadableAnswerError(ServiceAwayError):
    """The task service, or who answered in its place, wrote what cannot be read; ``content`` is its body.

    Of a hold, ``claims`` are the ids and tokens that could be read in it, which wait to be given back, and ``held`` is
    the rest, which can be worked on; None if there is none.
    """

    def __init__(
        self, message: str, *, content: bytes = b"", claims: Sequence[tuple[UUID, UUID]] = (), held: Any = None
    ) -> None:
        super().__init__(message, may_have_worked=True)
        self.content = content
        self.claims = claims
        self.held = held


class ServiceRefusedError(TaskServiceError):
    """The task service refused the request, which would be refused again; ``status`` is HTTP's."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:  # it may cross to another process, as from a pool's
        return partial(type(self), status=self.status), self.args, self.__dict__


class NoticeNotSentError(AsyncflowError):
    """Who should be notified was not reached, or refused; it is tried again, and told anew with a later look."""


class LockBusyError(AsyncflowError):
    """Others had the lock for as long as it was waited for; try again later, or do something else meanwhile."""


class LockLostError(AsyncflowError):
    """A lock is held no more, and somebody else may have it; what was done since may have been done beside them."""


class RegistryAwayError(AsyncflowError):
    """The servers of a registry outside the database did not answer in time, or refused; the message tells which."""


class RegistryRefusedError(RegistryAwayError):
    """The server of a registry does not let this instance in, or write; look at its user, password and rights."""


class ConnectionSilentError(AsyncflowError):
    """Nothing came of a connection within the limit; loops try again, and whoever begins something ends with this."""


class OutcomeUnknownError(AsyncflowError):
    """The answer to a COMMIT was lost; look whether it happened before you ask again, or give an idempotency key."""


class RowsLockedError(AsyncflowError):
    """Somebody held locks on rows of tasks until the scheduler ended; their outcomes could not be written."""


class WriteIgnoredError(AsyncflowError):
    """The database took a write of tasks and left rows as they were; look for triggers and row security there."""


class ServiceBusyError(AsyncflowError):
    """The task service could not serve a request in time; try again, or run more replicas."""


class MissingExtraError(AsyncflowError, ImportError):
    """An optional client library is not installed; the message holds the pip line that mends it."""


class LibraryTooOldError(AsyncflowError, ImportError):
    """A library is older than the lower bound that pip was told; the message holds the pip line that mends it."""


class TargetNotFoundError(AsyncflowError):
    """``module:attribute`` does not lead to the object that the command needs."""
