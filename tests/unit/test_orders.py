"""What is cut off by a LIMIT is cut off by an order that was asked for, or any so many rows will do."""

from __future__ import annotations

import ast
from typing import Any, cast

import pytest
from sqlalchemy import MetaData, Select
from sqlalchemy.dialects import mysql

from asyncflow import Outbox
from asyncflow.outbox.dialects import dialect_of
from tests.unit.test_import_law import ROOT, module_name

ANY_WILL_DO = {
    "asyncflow.outbox.rolling.queries.any_row": "whether there is one",
    "asyncflow.scheduler.cluster.seeing.queries._heads": "one more than are wanted tells that there are too many",
    "asyncflow.scheduler.diagnosis.queries.some_at_work": "whether there is one",
    "asyncflow.scheduler.schema.queries.rows": "how many there are, up to a number",
    "asyncflow.scheduler.schema.queries.with_null": "whether there is one",
    "asyncflow.scheduler.upkeep.rolling.queries.unfinished": "whether there is one",
    "asyncflow.scheduler.upkeep.stray_queries.parked_of_types": "read again until there are none",
    "asyncflow.scheduler.upkeep.stray_queries.aside_of_key": "read again until there are none",
    "asyncflow.scheduler.upkeep.stray_queries.aside_of_nobody": "read again until there are none",
    "asyncflow.scheduler.worker.claiming.queries.held_by_owners": "each takes a credit, and no more than there are",
    "asyncflow.scheduler.worker.rescuing.queries.held_by": "read again until there are none",
    "asyncflow.scheduler.worker.rescuing.queries.ahead": "read again until there are none",
}
ORDERED_ELSEWHERE = {"asyncflow.scheduler.heads.queries._some_heads": "the dialect's heads come in order"}


def limited_without_an_order() -> set[str]:
    """Return the functions that make a statement with a LIMIT and without an ORDER BY."""
    found = set()
    for path in ROOT.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                calls = {
                    call.func.attr
                    for call in ast.walk(function)
                    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
                }
                if "limit" in calls and "order_by" not in calls:
                    found.add(f"{module_name(path)}.{function.name}")
    return found


def test_every_limit_has_an_order_or_any_rows_will_do() -> None:
    assert limited_without_an_order() == ANY_WILL_DO.keys() | ORDERED_ELSEWHERE.keys()


@pytest.mark.parametrize("of", ["all_types", "its_type", "types_behind"])
def test_mysql_is_asked_for_the_order_of_the_index_which_group_by_does_not_promise(of: Any) -> None:
    tasks = Outbox(MetaData()).tasks
    heads = dialect_of("mysql").heads(tasks, 0, of=of).compile(dialect=mysql.dialect())
    types = cast(Select[Any], dialect_of("mysql").types(tasks, 0)).compile(dialect=mysql.dialect())
    t = tasks.name
    assert str(heads).endswith(f"ORDER BY {t}.status, {t}.task_type, {t}.shard")
    assert str(types).endswith(f"ORDER BY {t}.status, {t}.task_type")
