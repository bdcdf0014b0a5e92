"""A handler in the application's transaction is done if that has ended without an error, and not otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import create_engine

from asyncflow import RetryTask
from asyncflow.scheduler.worker.transactional.enclosing_commit import EnclosingCommit, work_in


class CaughtError(Exception):
    """Be raised, and swallowed by the application."""


class Rows:
    """Know whether the settle was sent, and whether the row is held, as the server would."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.is_settled = False
        self.asked = 0

    def settle_in(self, connection: Any, claim: Any) -> None:
        if self.fault is not None:
            raise self.fault
        self.is_settled = True

    def still_holds(self, connection: Any, claim: Any) -> bool:
        self.asked += 1
        return not self.is_settled


@contextmanager
def swallowing() -> Iterator[Any]:
    """Roll back after an error, and tell nobody."""
    with suppress(Exception):
        yield None


def commit_of(rows: Rows, enclose: Callable[[], Any]) -> EnclosingCommit:
    return EnclosingCommit(rows, create_engine("sqlite://"), None, enclose)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [CaughtError("taken"), RetryTask("later")])
def test_what_a_handler_raises_is_no_commit_though_the_application_swallows_it(error: Exception) -> None:
    def handle() -> None:
        raise error

    rows = Rows()
    joint = commit_of(rows, swallowing)
    with pytest.raises(type(error)) as raised:
        joint.run(handle)
    assert raised.value is error
    assert (joint.is_committed, rows.is_settled, rows.asked) == (False, False, 0)


def test_a_settle_that_fails_is_no_commit_though_the_application_swallows_it() -> None:
    joint = commit_of(Rows(CaughtError("lost")), swallowing)
    with pytest.raises(CaughtError):
        joint.run(lambda: None)
    assert not joint.is_committed


def test_a_handler_that_returns_is_committed_and_nobody_asks() -> None:
    rows = Rows()
    joint = commit_of(rows, swallowing)
    joint.run(lambda: None)
    assert (joint.is_committed, rows.is_settled, rows.asked) == (True, True, 0)


def test_what_is_raised_in_the_transaction_is_raised_after_it() -> None:
    def fail(_: Any) -> None:
        raise CaughtError

    assert work_in(swallowing, lambda _: 1) == 1
    with pytest.raises(CaughtError):
        work_in(swallowing, fail)
