"""Tries: a transaction that lost against another one is run again, a few times."""

from __future__ import annotations

import psycopg
import pymysql
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from asyncflow.scheduler.worker.transactional.tries import Tries

POSTGRESQL, MYSQL = "postgresql+psycopg://nobody@127.0.0.1:1/none", "mysql+pymysql://nobody@127.0.0.1:1/none"


def error_of(cause: Exception) -> DBAPIError:
    return DBAPIError("UPDATE", {}, cause)


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        (POSTGRESQL, psycopg.errors.SerializationFailure()),
        (POSTGRESQL, psycopg.errors.DeadlockDetected()),
        (MYSQL, pymysql.err.OperationalError(1213, "Deadlock found")),
    ],
    ids=["serialization", "deadlock", "mysql"],
)
def test_what_was_given_up_is_tried_again_after_pauses_that_grow_and_in_the_end_is_not(
    url: str, cause: Exception
) -> None:
    tries = Tries(create_engine(url))
    pauses = [tries.pause_after(error_of(cause)) for _ in range(8)]
    assert pauses[-1] is None
    assert all(pause is not None and 0 < pause <= 0.5 for pause in pauses[:-1])


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (POSTGRESQL, ValueError("no")),
        (POSTGRESQL, IntegrityError("INSERT", {}, psycopg.errors.UniqueViolation())),
        (POSTGRESQL, error_of(psycopg.errors.LockNotAvailable())),
        (MYSQL, error_of(pymysql.err.OperationalError(1205, "Lock wait timeout exceeded"))),
        ("sqlite:///none.db", error_of(Exception("database is locked"))),
    ],
    ids=["another", "a duplicate", "a lock", "a lock of mysql", "sqlite"],
)
def test_any_other_error_is_the_attempt_s(url: str, error: Exception) -> None:
    assert Tries(create_engine(url)).pause_after(error) is None
