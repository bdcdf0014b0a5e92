"""A driver's error is read in one place, which knows the forms of them all."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from asyncflow.driver_errors import code_of, number_of, state_of
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.lines.lost import is_lost
from asyncflow.repeats import AWAY, kind_of
from tests.unit.test_wiring import trees

READER = "asyncflow.driver_errors"
ATTRIBUTES = {"sqlstate", "pgcode", "errno", "diag"}


class DriverError(Exception):
    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args)
        vars(self).update(attributes)


def of_pymysql(number: int, state: str) -> Exception:
    return DriverError(number, "as the server says it")


def of_mysql_connector(number: int, state: str) -> Exception:
    text = f"{number} ({state}): as the server says it"
    return DriverError(number, text, state, errno=number, sqlstate=state, msg=text)


def of_psycopg(state: str) -> Exception:
    return DriverError("as the server says it", sqlstate=state)


def of_psycopg2(state: str) -> Exception:
    return DriverError("as the server says it\n", pgcode=state)


def of_asyncpg(state: str) -> Exception:
    return DriverError("<class 'X'>: as the server says it", sqlstate=state, pgcode=state)


def of_pg8000(state: str) -> Exception:
    return DriverError({"S": "ERROR", "V": "ERROR", "C": state, "M": "as the server says it"})


MYSQLS = [of_pymysql, of_mysql_connector]
POSTGRESQLS = [of_psycopg, of_psycopg2, of_asyncpg, of_pg8000]
_STATES = {1205: "HY000", 1213: "40001", 1020: "HY000", 1290: "HY000", 1836: "HY000", 1792: "25006", 1927: "70100"}


def error(orig: BaseException) -> DBAPIError:
    return DBAPIError("SELECT 1", {}, orig)


@pytest.mark.parametrize("form", MYSQLS)
@pytest.mark.parametrize("number", _STATES)
def test_numbers_are_known_in_each_form(form: Any, number: int) -> None:
    told, dialect = form(number, _STATES[number]), dialect_of("mysql")
    assert number_of(told) == code_of(told) == number
    assert dialect.is_contention(error(told)) is (number in (1205, 1213, 1020))
    assert dialect.is_lock_wait(error(told)) is (number == 1205)
    assert dialect.is_refused_write(error(told)) is (number in (1290, 1836, 1792))
    assert is_lost(error(told), dialect) is (number == 1927)


@pytest.mark.parametrize("form", POSTGRESQLS)
@pytest.mark.parametrize("state", ["40001", "40P01", "55P03", "25006", "57P01", "42P01", "23505"])
def test_states_are_known_in_each_form(form: Any, state: str) -> None:
    told, dialect = form(state), dialect_of("postgresql")
    assert state_of(told) == code_of(told) == state
    assert dialect.is_contention(error(told)) is (state in ("40001", "40P01", "55P03"))
    assert dialect.is_lock_wait(error(told)) is (state == "55P03")
    assert dialect.is_refused_write(error(told)) is (state == "25006")
    assert dialect.is_missing_table(error(told)) is (state == "42P01")
    assert is_lost(error(told), dialect) is (state == "57P01")


@pytest.mark.parametrize("told", [None, Exception(), Exception("text"), Exception({"M": "no state"}), Exception(None)])
def test_of_an_error_without_a_code_nothing_is_made_up(told: BaseException | None) -> None:
    assert (number_of(told), state_of(told), code_of(told)) == (None, None, None)


@pytest.mark.parametrize("form", POSTGRESQLS)
def test_a_server_that_shuts_down_is_away_in_each_form(form: Any) -> None:
    assert kind_of(ProgrammingError("SELECT 1", {}, form("57P01"))) == AWAY
    assert kind_of(OperationalError("SELECT 1", {}, form("53300"))) == (AWAY, "53300")


@pytest.mark.parametrize("form", MYSQLS)
def test_a_client_that_has_lost_its_server_says_that_it_is_away(form: Any) -> None:
    assert kind_of(OperationalError("SELECT 1", {}, form(2013, "HY000"))) == AWAY
    assert kind_of(OperationalError("SELECT 1", {}, form(1142, "42000"))) == (AWAY, 1142)


def test_the_drivers_that_are_here_have_these_forms() -> None:
    connector = pytest.importorskip("mysql.connector.errors", exc_type=ImportError)
    assert number_of(connector.get_mysql_exception(1213, "Deadlock", "40001")) == 1213
    exceptions = pytest.importorskip("pg8000.exceptions", exc_type=ImportError)
    assert state_of(exceptions.DatabaseError({"C": "40P01"})) == "40P01"


@pytest.mark.parametrize("name", ["pymysql.err", "psycopg.errors"])
def test_the_drivers_of_our_extras_have_these_forms(name: str) -> None:
    module = importlib.import_module(name)
    if name == "pymysql.err":
        assert number_of(module.OperationalError(1213, "Deadlock")) == 1213
    else:
        assert state_of(module.DeadlockDetected("deadlock detected")) == "40P01"


def readings(tree: ast.AST) -> Iterator[str]:
    """Find where code is read off an error: its attributes, and what stands at a place of its ``args``."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if name in ATTRIBUTES:
                yield ast.unparse(node)
            case ast.Subscript(value=ast.Attribute(attr="args")):
                yield ast.unparse(node)
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=name), *_]) if name in ATTRIBUTES:
                yield ast.unparse(node)


def test_no_other_module_that_has_statements_reads_a_driver_s_error() -> None:
    rooms = (
        "outbox.",
        "scheduler.",
        "consuming.",
        "testing.",
        "repeats",
        "integrations.flowsvr.",
        "integrations.django.",
    )
    found = {
        (module, reading)
        for module, tree in trees().items()
        if module.startswith(tuple(f"asyncflow.{room}" for room in rooms))
        for reading in readings(tree)
    }
    assert found == set()
    assert list(readings(trees()[READER]))


@pytest.mark.parametrize(
    "line", ["error.orig.args[0]", "error.sqlstate", "getattr(error, 'pgcode', None)", "e.args[:1]"]
)
def test_a_reading_is_seen(line: str) -> None:
    assert list(readings(ast.parse(line)))
