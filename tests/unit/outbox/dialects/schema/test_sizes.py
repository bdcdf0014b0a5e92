"""Of two types of one kind it is known which holds more; types of two kinds never hold each other's values."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import make_url

from asyncflow.outbox.dialects.schema.choose import schema_dialect_of

HOLDS = {
    "mysql": [
        ("smallint(6)", "SMALLINT"),
        ("bigint(20)", "INTEGER"),
        ("varchar(300)", "VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
        ("longtext", "TEXT"),
        ("tinyint(1)", "BOOL"),
        ("datetime(6)", "DATETIME(6)"),
        ("double", "DOUBLE"),
    ],
    "postgresql": [
        ("character varying(100)", "VARCHAR(100)"),
        ("character varying", "VARCHAR(100)"),
        ("text", "VARCHAR(100)"),
        ("timestamp with time zone", "TIMESTAMP WITH TIME ZONE"),
        ("double precision", "DOUBLE PRECISION"),
        ("uuid", "UUID"),
    ],
    "sqlite": [("TEXT", "VARCHAR(9)"), ("BIGINT", "INTEGER"), ("BLOB", "BLOB"), ("INT", "INTEGER")],
}
DOES_NOT = {
    "mysql": [
        ("smallint(6)", "INTEGER"),
        ("varchar(99)", "VARCHAR(100)"),
        ("datetime", "DATETIME(6)"),
        ("int(10) unsigned", "INTEGER"),
        ("varbinary(16)", "BINARY(16)"),
        ("text", "VARCHAR(100)"),
        ("blob", "LONGBLOB"),
        ("float", "DOUBLE"),
    ],
    "postgresql": [
        ("character varying(99)", "VARCHAR(100)"),
        ("character varying(99)", "TEXT"),
        ("timestamp without time zone", "TIMESTAMP WITH TIME ZONE"),
        ("timestamp(3) with time zone", "TIMESTAMP WITH TIME ZONE"),
        ("bytea", "TEXT"),
        ("character(100)", "VARCHAR(100)"),
    ],
    "sqlite": [("VARCHAR(8)", "VARCHAR(9)"), ("BINARY(16)", "BLOB"), ("TEXT", "INTEGER")],
}


def holds(name: str, found: str, needed: str) -> bool:
    dialect: Any = make_url(f"{name}://").get_dialect()()
    schema = schema_dialect_of(dialect)
    (kind, size), (least_kind, least) = (schema.size_of(schema.normal(one)) for one in (found, needed))
    return kind == least_kind and size >= least


@pytest.mark.parametrize(("name", "found", "needed"), [(name, *pair) for name in HOLDS for pair in HOLDS[name]])
def test_what_holds_as_much_or_more_is_no_difference(name: str, found: str, needed: str) -> None:
    assert holds(name, found, needed)


@pytest.mark.parametrize(("name", "found", "needed"), [(name, *pair) for name in DOES_NOT for pair in DOES_NOT[name]])
def test_what_holds_less_or_something_else_is_one(name: str, found: str, needed: str) -> None:
    assert not holds(name, found, needed)
