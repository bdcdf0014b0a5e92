"""The outbox of a Django project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from sqlalchemy import Connection, MetaData

from asyncflow.errors import OptionError, UnsettledEffectError
from asyncflow.integrations.django.borrowed import current_transaction
from asyncflow.integrations.django.engine import engine_of
from asyncflow.outbox import Outbox
from asyncflow.outbox.living import outboxes
from asyncflow.scheduler import Scheduler

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asyncflow.scheduler.given import Publishers, SchedulerGiven


class DjangoOutbox(Outbox):
    """Write tasks into Django's own transactions; made once, in a module that Django imports, such as ``tasks.py``.

    Its tables come with the migrations of the application ``asyncflow.integrations.django``. ``using`` is the database
    where they are. ``publishers`` and what else is ``given``, options, ``jobs``, ``queues`` and ``registry``, are those
    of the Scheduler, which ``manage.py outbox run`` runs; ``hooks`` hear of what it does and of what is enqueued.

    Enqueue within ``transaction.atomic``: ``task.enqueue(current_transaction(), ...)``. A handler that is declared
    with ``transactional=True`` runs in ``transaction.atomic`` itself, and its task's outcome commits there as well: it
    has to be the outermost block, and one that Django has not marked for a rollback, else the attempt fails.
    """

    def __init__(
        self,
        publishers: Publishers | None = None,
        *,
        using: str = DEFAULT_DB_ALIAS,
        **given: Unpack[SchedulerGiven],
    ) -> None:
        hooks = tuple(given.get("hooks", ()))
        super().__init__(MetaData(), hooks=hooks, around=[_fresh_connections], transaction=self._atomic)
        self.using = using
        self._publishers = publishers or {}
        given["hooks"] = [hook for hook in hooks if callable(hook)]  # others stand around the work alone
        self._given = given

    def scheduler(self) -> Scheduler:
        """Return a new Scheduler, on connections of its own; handlers have those that Django gives their threads."""
        return Scheduler(engine_of(self.using), self, self._publishers, **self._given)

    @contextmanager
    def _atomic(self) -> Iterator[Connection]:
        self._require_outermost()
        with transaction.atomic(using=self.using):
            yield current_transaction(self.using)
            self._refuse_broken()

    def _require_outermost(self) -> None:
        """Raise OptionError where the end of our block would be no COMMIT."""
        django = connections[self.using]
        if django.in_atomic_block and self.using not in _in_tests_block.get():
            raise OptionError(
                f"a context manager of Outbox(around=...) has opened transaction.atomic() on the database "
                f"{self.using!r}, so the transactional handler would commit with that, and not with its task: leave "
                f"it out, or leave transactional out"
            )
        if not django.in_atomic_block and not django.get_autocommit():
            raise OptionError(
                f"autocommit is off on the database {self.using!r}, so nobody would commit what a transactional "
                f"handler does: leave AUTOCOMMIT of DATABASES and set_autocommit() alone, or leave transactional out"
            )

    def _refuse_broken(self) -> None:
        """Raise UnsettledEffectError where Django would roll back without a word."""
        django = connections[self.using]
        if django.needs_rollback:
            raise UnsettledEffectError(
                "the handler returned, but Django rolls its transaction back, for an error of the database was caught "
                "in it, or set_rollback(True) called: put what may fail into a `with transaction.atomic():` of its "
                "own, inside the `try`, or let the handler raise"
            ) from getattr(django, "rollback_exc", None)


def the_outbox() -> DjangoOutbox:
    """Return the only DjangoOutbox of this process; raises OptionError if there is none, or are several."""
    found = [one for one in outboxes() if isinstance(one, DjangoOutbox)]
    if len(found) == 1:
        return found[0]
    number = "no DjangoOutbox" if not found else f"{len(found)} DjangoOutboxes"
    raise OptionError(f"this project has {number}; make one, in the tasks.py of an application in INSTALLED_APPS")


# The databases on which the attempt has begun in a block of atomic: that of a test, which drains.
_in_tests_block: ContextVar[frozenset[str]] = ContextVar("asyncflow_in_tests_block", default=frozenset())


@contextmanager
def _fresh_connections(_: Any) -> Iterator[None]:
    """Let no connection be used that is too old or broken, as Django does around requests."""
    _close_old_ones()
    known = connections.all(initialized_only=True)
    token = _in_tests_block.set(frozenset(django.alias for django in known if django.in_atomic_block))
    try:
        yield
    finally:
        _in_tests_block.reset(token)
        _close_old_ones()


def _close_old_ones() -> None:
    for django in connections.all(initialized_only=True):
        if not django.in_atomic_block:  # that of a test, which drains
            django.close_if_unusable_or_obsolete()
