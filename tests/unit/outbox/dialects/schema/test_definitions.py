"""A CREATE TABLE as somebody else may have written it is taken apart without a loss."""

from __future__ import annotations

import pytest

from asyncflow.outbox.dialects.schema.definitions import (
    Definitions,
    is_primary_key,
    is_unique,
    names_in,
    without_key,
    without_not_null,
)

WRITTEN = """CREATE TABLE "a (b" ( -- the first, of all
  "id,x" BLOB NOT NULL /* no ) here */, name VARCHAR(10) COLLATE nocase DEFAULT '), (',
  `c d` TEXT COLLATE BINARY, [e] NUMERIC(4, 2) CHECK (e > (1)),
  CONSTRAINT pk PRIMARY KEY ("id,x"), unique (name, "c d"), FOREIGN KEY (e) REFERENCES o (e)
) WITHOUT ROWID"""


def test_columns_constraints_and_options_are_told_apart() -> None:
    found = Definitions.of(WRITTEN)
    assert list(found.columns) == ["id,x", "name", "c d", "e"]
    assert found.columns["name"] == "name VARCHAR(10) COLLATE nocase DEFAULT '), ('"
    assert found.columns["e"] == "[e] NUMERIC(4, 2) CHECK (e > (1))"
    assert [is_primary_key(one) for one in found.constraints] == [True, False, False]
    assert [is_unique(one) for one in found.constraints] == [False, True, False]
    assert names_in(found.constraints[1]) >= {"name", "c d"}
    assert found.options == "WITHOUT ROWID"


def test_a_collation_is_that_of_its_column_and_binary_is_none() -> None:
    found = Definitions.of(WRITTEN)
    assert {name: found.collation_of(name) for name in found.columns} == {
        "id,x": None,
        "name": "NOCASE",
        "c d": None,
        "e": None,
    }


@pytest.mark.parametrize(
    ("given", "eased"),
    [("x INT NOT NULL", "x INT"), ("x INT not  null ON CONFLICT FAIL CHECK (x)", "x INT CHECK (x)"), ("x", "x")],
)
def test_a_column_is_eased_by_its_not_null_alone(given: str, eased: str) -> None:
    assert without_not_null(given) == eased


def test_a_column_that_was_the_key_is_none_any_more() -> None:
    assert without_key("x INTEGER PRIMARY KEY DESC AUTOINCREMENT") == "x INTEGER"
