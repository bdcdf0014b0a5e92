"""Operations for Alembic are Python that can be copied."""

from __future__ import annotations

import ast

from sqlalchemy import Column, Enum, Integer, MetaData, Table, text

from asyncflow.outbox import Outbox
from asyncflow.scheduler.schema.migration import add_column, create_table, execute


def test_a_colon_within_sql_is_no_parameter_of_sqlalchemy() -> None:
    (written,) = execute(["SELECT 'a :b', x::text, '12:30' FROM t"])
    statement = ast.literal_eval(written.removeprefix("op.execute(").removesuffix(")"))
    assert str(text(statement)) == "SELECT 'a :b', x::text, '12:30' FROM t"
    assert text(statement)._bindparams == {}


def test_every_table_of_ours_is_written_with_names_of_sqlalchemy_alone() -> None:
    for table in Outbox(MetaData(), schema="shop").tables:
        written = create_table(table)
        assert written is not None
        names = {node.id for one in written for node in ast.walk(ast.parse(one)) if isinstance(node, ast.Name)}
        assert names <= {"op", "sa", "mysql"}
        assert all("schema='shop'" in one for one in written)


class Theirs(Enum):
    """Be a type of somebody else's."""

    cache_ok = True


def test_a_type_of_somebody_else_s_is_left_to_the_sql() -> None:
    table = Table("t", MetaData(), Column("a", Theirs("x", "y")), Column("b", Integer, server_default="1"))
    assert add_column(table.c.a) is None
    assert add_column(table.c.b) is None
    assert create_table(table) is None
