"""Whatever a transactional handler does with its session: its effects are there if and only if its task is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, Engine, Integer, Table, create_engine, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from asyncflow import Scheduler, Status, TaskContext
from asyncflow.errors import ClaimLostError, UnsettledEffectError
from asyncflow.events import HandlerFailedLate, TaskFailed, TasksSettled
from asyncflow.outbox.dialects import dialect_of
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application
from tests.support.options import Retries
from tests.unit.scheduler.waiting import eventually

_AT_ONCE: Retries = {"max_retries": 3, "retry_interval_seconds": 0, "max_retry_interval_seconds": 0}
_STEPS = (
    "add", "add", "flush", "read", "savepoint", "release", "rollback_to", "rollback", "failing_flush",
    "refused_commit", "lost_commit", "commit", "raw_commit", "close",
)  # fmt: skip
_script = st.tuples(st.lists(st.sampled_from(_STEPS), max_size=9), st.sampled_from(["return", "return", "raise"]))


@contextmanager
def do_commit_of(engine: Engine, replaced: Callable[[Any, Callable[[], None]], None]) -> Iterator[None]:
    """Let the driver's COMMIT go otherwise, once; as a server that refuses it, or whose answer is lost.

    That of this thread alone: others, such as the one that renews the leases, share the engine.
    """
    dialect: Any = engine.dialect
    real, here = dialect.do_commit, threading.get_ident()

    def do_commit(connection: Any) -> None:
        if threading.get_ident() != here:
            real(connection)
            return
        del dialect.do_commit
        replaced(connection, lambda: real(connection))

    dialect.do_commit = do_commit
    try:
        yield
    finally:
        dialect.__dict__.pop("do_commit", None)


class Bank:
    """Have a table of effects, and run scripts against it as the attempts of one task."""

    def __init__(self, application: Application) -> None:
        self.application = application
        number = BigInteger().with_variant(Integer, "sqlite")
        self.effects = Table(
            "effects", application.Base.metadata, Column("task", Integer), Column("attempt", Integer),
            Column("number", number, primary_key=True, autoincrement=False),
        )  # fmt: skip
        self.effects.create(application.engine)
        self.scripts: dict[int, list[tuple[list[str], str]]] = {}
        self.calls: dict[int, list[Call]] = {}
        self.number = 0

        @application.outbox.task(transactional=True, **_AT_ONCE)
        def acting(session: Session, task: int) -> None:
            script = self.scripts[task][len(self.calls[task])]
            call = Call(self, session, task, len(self.calls[task]))
            self.calls[task].append(call)
            call.run(*script)

        self.acting = acting

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def committed(self, task: int) -> dict[int, set[int]]:
        """Return the numbers of the effects that are there, by attempt."""
        found: dict[int, set[int]] = {}
        e = self.effects.c
        for attempt, number in self.application.rows(select(e.attempt, e.number).where(e.task == task)):
            found.setdefault(attempt, set()).add(number)
        return found


class Call:
    """Follow one script, and know which effects must be there, may be there, or hang on the end of the attempt."""

    def __init__(self, bank: Bank, session: Session, task: int, attempt: int) -> None:
        self.bank, self.session, self.task, self.attempt = bank, session, task, attempt
        self.confirmed: set[int] = set()
        self.unknown: set[int] = set()
        self.pending: list[int] = []
        self.savepoints: list[tuple[Any, int]] = []

    def run(self, steps: list[str], end: str) -> None:
        for step in steps:
            try:
                getattr(self, step)()
            except (SQLAlchemyError, UnsettledEffectError, ClaimLostError):
                self.rollback()
        if end == "raise":
            raise ValueError("on purpose")

    def add(self) -> None:
        number = self.bank.next_number()
        values = {"task": self.task, "attempt": self.attempt, "number": number}
        self.session.execute(insert(self.bank.effects).values(values))
        self.pending.append(number)

    def flush(self) -> None:
        self.session.flush()

    def read(self) -> None:
        self.session.execute(select(func.count()).select_from(self.bank.effects)).scalar_one()

    def savepoint(self) -> None:
        self.savepoints.append((self.session.begin_nested(), len(self.pending)))

    def release(self) -> None:
        if self.savepoints:
            self.savepoints.pop()[0].commit()

    def rollback_to(self) -> None:
        if self.savepoints:
            savepoint, count = self.savepoints.pop()
            savepoint.rollback()
            del self.pending[count:]

    def rollback(self) -> None:
        while self.session.in_nested_transaction():
            self.session.rollback()
        self.session.rollback()
        self.pending, self.savepoints = [], []

    def failing_flush(self) -> None:
        values = {"task": self.task, "attempt": self.attempt, "number": self.bank.next_number()}
        statement = insert(self.bank.effects).values(values)
        self.session.execute(statement)
        self.session.execute(statement)  # raises IntegrityError, as a flush may

    def commit(self) -> None:
        self.release_all()
        self.session.commit()
        self.confirmed |= set(self.pending)
        self.pending = []

    def raw_commit(self) -> None:
        self.release_all()
        self.session.connection().commit()
        self.confirmed |= set(self.pending)
        self.pending = []
        self.session.rollback()

    def refused_commit(self) -> None:
        self.release_all()
        with do_commit_of(self.bank.application.engine, self._refuse):
            self.session.commit()

    def lost_commit(self) -> None:
        self.release_all()
        self.unknown |= set(self.pending)
        with do_commit_of(self.bank.application.engine, self._lose):
            self.session.commit()

    def close(self) -> None:
        self.session.close()
        self.pending, self.savepoints = [], []

    def release_all(self) -> None:
        while self.savepoints:
            self.release()

    def _refuse(self, connection: Any, _: Callable[[], None]) -> None:
        connection.rollback()
        raise self._error()("refused")

    def _lose(self, _: Any, commit: Callable[[], None]) -> None:
        commit()
        raise self._error()("the answer was lost")

    def _error(self) -> Any:
        return self.session.get_bind().dialect.loaded_dbapi.OperationalError


@pytest.fixture
def bank(application: Application) -> Bank:
    return Bank(application)


_EACH = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@_EACH
@given(scripts=st.lists(_script, min_size=4, max_size=4))
def test_effects_are_there_exactly_if_their_attempt_made_the_task_a_success(
    bank: Bank, scripts: list[tuple[list[str], str]]
) -> None:
    application = bank.application
    task = len(bank.scripts)
    bank.scripts[task], bank.calls[task] = scripts, []
    with application.session() as session, session.begin():
        task_id = application.outbox.enqueue(session, bank.acting, task=task)
    scheduler = application.scheduler()
    scheduler.drain()
    scheduler.stop()

    row = next(row for row in application.rows() if row.id == task_id)
    calls, found = bank.calls[task], bank.committed(task)
    last = calls[-1]
    assert row.status in (Status.SUCCESS, Status.FAILED)
    assert set(found) <= {last.attempt}, "an attempt followed one whose effects are there"
    assert row.status == Status.SUCCESS or not found
    there = found.get(last.attempt, set())
    must = last.confirmed
    assert must <= there <= must | last.unknown | set(last.pending)
    if row.status == Status.SUCCESS and scripts[last.attempt][1] == "return" and not (last.confirmed or last.unknown):
        assert there == set(last.pending)
    assert not [event for event in application.signals.of(TaskFailed) if event.task_id == task_id and found]


def enqueue(application: Application, task: Any, **arguments: Any) -> UUID:
    with application.session() as session, session.begin():
        return application.outbox.enqueue(session, task, **arguments)


def names(application: Application) -> list[str]:
    return sorted(row[0] for row in application.rows(select(application.User.account_no)))


def test_a_handler_that_tries_again_after_its_commit_failed_takes_effect_once(application: Application) -> None:
    """The ordinary retry loop: insert; where somebody was quicker, roll back and go another way."""
    attempts = []
    user = application.User
    with application.session() as session, session.begin():
        session.add(user(account_no="taken"))

    @application.outbox.task(transactional=True, **_AT_ONCE)
    def adding(session: Session) -> None:
        attempts.append(1)
        for name in ("taken", "free"):
            try:
                session.add(user(account_no=name))
                session.commit()
                return
            except IntegrityError:
                session.rollback()

    enqueue(application, adding)
    application.scheduler().drain()

    assert len(attempts) == 1
    assert application.statuses() == [Status.SUCCESS]
    assert names(application) == ["free", "taken"]


def _commits_the_connection(session: Session) -> None:
    session.connection().commit()


def _commits_another_session(session: Session) -> None:
    with Session(session.connection(), join_transaction_mode="control_fully") as other:
        other.connection()
        other.commit()


def _commits_the_transaction(session: Session) -> None:
    transaction = session.connection().get_transaction()
    assert transaction is not None
    transaction.commit()


def _commits_by_a_block(session: Session) -> None:
    session.commit()
    with session.begin():
        session.execute(select(1))


def _commits_in_a_savepoint(session: Session) -> None:
    session.begin_nested()
    session.get_transaction().commit(_to_root=True)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "commit",
    [
        _commits_the_connection,
        _commits_another_session,
        _commits_the_transaction,
        _commits_by_a_block,
        _commits_in_a_savepoint,
        Session.commit,
    ],
)
@pytest.mark.parametrize("is_late", [False, True])
def test_whoever_commits_the_connection_commits_the_settle(
    application: Application, commit: Callable[[Session], None], is_late: bool
) -> None:
    attempts = []

    @application.outbox.task(transactional=True, **_AT_ONCE)
    def adding(session: Session) -> None:
        attempts.append(1)
        session.execute(insert(application.User).values(account_no=f"A{len(attempts)}"))
        commit(session)
        if is_late:
            raise ValueError("too late to fail")

    task_id = enqueue(application, adding)
    application.scheduler().drain()

    assert names(application) == ["A1"]
    assert application.statuses() == [Status.SUCCESS]
    assert sum(settled.succeeded for settled in application.signals.of(TasksSettled)) == 1
    late = [event.task_id for event in application.signals.of(HandlerFailedLate)]
    assert late == ([task_id] if is_late else [])


def test_changes_after_the_commit_are_refused_and_told_and_reads_are_not(application: Application) -> None:
    seen: list[Any] = []
    user = application.User

    @application.outbox.task(transactional=True, **_AT_ONCE)
    def adding(session: Session) -> None:
        session.add(first := user(account_no="first"))
        session.commit()
        seen.append(first.account_no)  # which is read anew
        seen.append(session.scalar(select(func.count()).select_from(user)))
        session.commit()
        session.add(user(account_no="second"))  # flushed by nobody but us

    task_id = enqueue(application, adding)
    application.scheduler().drain()

    assert seen == ["first", 1]
    assert names(application) == ["first"]
    assert application.statuses() == [Status.SUCCESS]
    (late,) = application.signals.of(HandlerFailedLate)
    assert late.task_id == task_id
    assert isinstance(late.error, UnsettledEffectError)
    assert "the handler has committed" in str(late.error)


def test_a_commit_of_reads_alone_leaves_the_settle_to_the_changes(application: Application) -> None:
    user = application.User

    @application.outbox.task(transactional=True, **_AT_ONCE)
    def adding(session: Session) -> None:
        session.scalar(select(func.count()).select_from(user))
        session.commit()
        session.add(user(account_no="A1"))

    enqueue(application, adding)
    application.scheduler().drain()

    assert names(application) == ["A1"]
    assert application.statuses() == [Status.SUCCESS]
    assert application.signals.of(HandlerFailedLate) == []


@pytest.mark.parametrize("read", ["SELECT * FROM add_user()", "SELECT add_user() FROM (SELECT 1 AS one) AS ones"])
def test_a_commit_of_what_a_function_has_changed_that_was_read_from_carries_the_settle(
    application: Application, read: str
) -> None:
    if application.engine.dialect.name != "postgresql":
        pytest.skip("elsewhere nothing tells it")
    table = application.users.fullname
    body = f"INSERT INTO {table} (account_no) VALUES (''A1'') RETURNING 1"

    @application.outbox.task(transactional=True, **_AT_ONCE)
    def adding(session: Session) -> None:
        session.execute(text(read))
        session.commit()
        raise ValueError("too late to fail")

    @application.outbox.task(transactional=True, **_AT_ONCE)
    def counting(session: Session) -> None:
        session.execute(text("SELECT lower('A') FROM (SELECT 1 AS one) AS ones"))
        session.commit()
        session.execute(insert(application.User).values(account_no="A2"))

    with application.engine.begin() as connection:
        connection.execute(text(f"CREATE FUNCTION add_user() RETURNS integer LANGUAGE sql AS '{body}'"))
    try:
        enqueue(application, adding)
        enqueue(application, counting)
        application.scheduler().drain()
    finally:
        with application.engine.begin() as connection:
            connection.execute(text("DROP FUNCTION add_user()"))

    assert sorted(names(application)) == ["A1", "A2"]
    assert application.statuses() == [Status.SUCCESS] * 2
    assert len(application.signals.of(HandlerFailedLate)) == 1


@pytest.mark.parametrize("commit", [Session.flush, Session.commit])
def test_what_the_database_undoes_for_an_error_that_is_caught_does_not_pass_for_done(
    application: Application, commit: Callable[[Session], None]
) -> None:
    attempts = []

    @application.outbox.task(transactional=True, **_AT_ONCE)
    def adding(session: Session) -> None:
        attempts.append(1)
        session.execute(insert(application.User).values(account_no=f"A{len(attempts)}"))
        if len(attempts) == 1:
            connection = session.connection()
            with suppress(DBAPIError):
                session.execute(text("SELECT nothing FROM nowhere"))
            if connection.dialect.name != "postgresql":  # where whatever follows an error fails as well
                connection.dialect.do_rollback(connection.connection)  # as a deadlock does
            session.execute(insert(application.User).values(account_no="the rest"))
        commit(session)

    enqueue(application, adding)
    application.scheduler().drain()

    assert names(application) == ["A2"]
    assert application.statuses() == [Status.SUCCESS]
    assert len(attempts) == 2


def test_the_release_of_a_savepoint_commits_nothing(application: Application) -> None:
    @application.outbox.task(transactional=True, max_retries=0)
    def adding(session: Session) -> None:
        with session.begin_nested():
            session.execute(insert(application.User).values(account_no="A1"))
        raise ValueError("on purpose")

    enqueue(application, adding)
    application.scheduler().drain()

    assert names(application) == []
    assert application.statuses() == [Status.FAILED]


def test_what_would_commit_beside_the_settle_is_refused(application: Application) -> None:
    other = create_engine(application.engine.url)

    @application.outbox.task(transactional=True, max_retries=0)
    def ending(session: Session) -> None:
        session.execute(insert(application.User).values(account_no="A1"))
        session.execute(text("/* by itself */ COMMIT"))

    @application.outbox.task(transactional=True, max_retries=0)
    def elsewhere(session: Session) -> None:
        session.execute(insert(application.User).values(account_no="A2"), bind_arguments={"bind": other})
        session.execute(insert(application.User).values(account_no="A3"))

    @application.outbox.task(transactional=True, max_retries=0)
    def autocommitting(session: Session) -> None:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        session.execute(insert(application.User).values(account_no="A4"))

    for task in (ending, elsewhere, autocommitting):
        enqueue(application, task)
    application.scheduler().drain()
    other.dispose()

    assert names(application) == []
    assert application.statuses() == [Status.FAILED] * 3
    assert all("UnsettledEffectError" in row.schedule_log for row in application.rows())


def test_a_claim_that_is_lost_lets_nothing_commit_however_often_it_is_tried(application: Application) -> None:
    tasks = application.outbox.tasks

    @application.outbox.task(transactional=True)
    def adding(session: Session, ctx: TaskContext) -> None:
        with application.engine.begin() as connection:
            connection.execute(tasks.update().values(claim_token=UUID(int=1)))
        for commit in (Session.commit, _commits_the_connection, _commits_another_session) * 2:
            session.execute(insert(application.User).values(account_no="A1"))
            with pytest.raises(ClaimLostError):
                commit(session)
            session.connection().rollback()
            session.rollback()

    enqueue(application, adding)
    application.scheduler().drain()

    assert names(application) == []
    assert application.statuses() == [Status.PROCESSING]


def test_a_transaction_that_is_given_up_for_another_one_s_sake_costs_no_attempt(application: Application) -> None:
    """At SERIALIZABLE PostgreSQL gives up most of those whose tasks lie side by side."""
    if not dialect_of(application.engine.dialect.name).locks_rows:
        pytest.skip("one writer at a time loses against nobody")
    engine = create_engine(application.engine.url, isolation_level="SERIALIZABLE", pool_size=20)

    @application.outbox.task(transactional=True, max_retries=0, concurrency=10)
    def note(session: Session, account_no: str) -> None:
        session.add(application.User(account_no=account_no))

    names = [f"A{number}" for number in range(20)]
    with application.session() as session, session.begin():
        for name in names:
            application.outbox.enqueue(session, note, account_no=name)
    with Scheduler(engine, application.outbox, {"kafka": MemoryPublisher()}):
        eventually(lambda: not {Status.PENDING, Status.PROCESSING} & set(application.statuses()), 60)
    assert application.statuses() == [Status.SUCCESS] * 20
    found = application.rows(select(application.User.account_no))
    assert sorted(name for (name,) in found) == sorted(names)
    engine.dispose()
