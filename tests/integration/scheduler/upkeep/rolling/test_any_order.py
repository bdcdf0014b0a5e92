"""Roll-over in any order of its steps, with a kill before any statement: what its model proves, of the real code."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.orm import Session

from asyncflow import Status
from asyncflow.scheduler.upkeep.cleaner import Cleaner
from asyncflow.scheduler.upkeep.rolling.mover import Mover
from tests.integration.scheduler.upkeep.rolling.conftest import ROWS, Rolled, cleaning, finish
from tests.integration.scheduler.writing import publish_many
from tests.support.databases import open_engine

_KEY = "A1001"
_KILL = st.none() | st.integers(1, 12)  # before which statement; None: nobody is killed


class _Killed(BaseException):
    """Be what ends a process at once: nothing catches it."""


class AnyOrder(RuleBasedStateMachine):
    """Enqueue, finish, move, keep and look up; whoever is killed is followed by another process."""

    def __init__(self) -> None:
        super().__init__()
        self._home = tempfile.TemporaryDirectory()
        self.engine: Engine = open_engine(make_url(f"sqlite:///{Path(self._home.name) / 'rolled.db'}"))
        self.rolled = Rolled(self.engine, keep=timedelta(0))
        self.finished: set[UUID] = set()
        self.closed: dict[int, set[UUID]] = {}  # what was in a table when it was first seen closed
        self._process = ExitStack()
        self._cleaner: Cleaner | None = None

    def teardown(self) -> None:
        self._process.close()
        self.engine.dispose()
        self._home.cleanup()

    @initialize()
    def begin(self) -> None:
        self._act(lambda cleaner: cleaner._rolling.keep(), None)

    @rule(count=st.integers(1, ROWS), status=st.sampled_from([Status.SUCCESS, Status.CANCELLED]))
    def finish(self, count: int, status: Status) -> None:
        ids = publish_many(self.rolled, count, key=_KEY)
        finish(self.rolled, ids, status)
        self.finished.update(ids)

    @rule(kill=_KILL)
    def move(self, kill: int | None) -> None:
        self._act(lambda cleaner: cleaner.step(), kill)

    @rule(kill=_KILL)
    def keep(self, kill: int | None) -> None:
        self._act(lambda cleaner: cleaner._rolling.keep(), kill)

    @invariant()
    def what_is_kept_is_in_one_place_and_found_there(self) -> None:
        numbers = self.rolled.numbers()
        places = [{row.id for row in self.rolled.rows()}, *(self._ids_in(number) for number in numbers)]
        kept = set().union(*places)
        assert sum(map(len, places)) == len(kept)
        dropped = set().union(*(ids for number, ids in self.closed.items() if number not in numbers), set())
        assert self.finished - kept <= dropped
        forgotten = [self._ids_in(number) for number, (_, state) in numbers.items() if state == "forgotten"]
        assert set(self._found()) == kept.difference(*forgotten)

    @invariant()
    def a_closed_table_has_what_was_counted_in_and_nothing_more(self) -> None:
        numbers = self.rolled.numbers()
        assert [state for _, state in numbers.values()].count("open") == min(1, len(numbers))
        for number, (count, state) in numbers.items():
            if state == "forgotten" and number in self.closed:
                assert self._ids_in(number) in (self.closed[number], set())  # or dropped a moment ago
                continue
            ids = self._ids_in(number)
            assert len(ids) == count
            if state == "closed":
                assert self.closed.setdefault(number, ids) == ids

    def _ids_in(self, number: int) -> set[UUID]:
        try:
            return self.rolled.ids_in(number)
        except Exception as error:
            if "no such table" in str(error):
                return set()
            raise

    def _found(self) -> Iterator[UUID]:
        with Session(self.engine) as session:
            after = None
            while True:
                page = self.rolled.outbox.find(session, key=_KEY, limit=500, after=after)
                yield from (task.id for task in page)
                after = page.next
                if after is None:
                    return

    def _act(self, act: Callable[[Cleaner], Any], kill: int | None) -> None:
        if self._cleaner is None:
            self._cleaner = self._process.enter_context(cleaning(self.rolled))
        try:
            with _killed_before(self.engine, kill):
                act(self._cleaner)
        except _Killed:
            self._cleaner = None  # the next one is another process
            self._process.close()


@contextmanager
def _killed_before(engine: Engine, statement: int | None) -> Iterator[None]:
    """End what is done before it sends one of its statements."""
    left = statement

    def count(*_: Any) -> None:
        nonlocal left
        if left is not None:
            left -= 1
            if left == 0:
                raise _Killed

    event.listen(engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", count)


_MANY = {"short": (5, 16), "long": (100, 40)}


@pytest.mark.parametrize("how", ["short", pytest.param("long", marks=pytest.mark.long)])
def test_nothing_is_lost_doubled_or_hidden_in_any_order_and_by_any_kill(how: str) -> None:
    examples, steps = _MANY[how]
    run_state_machine_as_test(AnyOrder, settings=_settings(examples, steps))


@pytest.mark.long
def test_a_mover_that_copies_in_a_transaction_of_its_own_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    copy = Mover._copy

    def copied(self: Mover, connection: Connection, *rest: Any) -> None:
        copy(self, connection, *rest)
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    monkeypatch.setattr(Mover, "_copy", copied)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(AnyOrder, settings=_settings(60, 20, phases=[Phase.generate]))


def _settings(examples: int, steps: int, **more: Any) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
