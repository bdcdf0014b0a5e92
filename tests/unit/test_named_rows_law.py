"""What names the rows that it locks finds them by primary key: MySQL and MariaDB lock whatever a statement reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.unit.test_wiring import trees

# By module and function, why the server needs no hint there.
ONE_ROW = "one row by the whole primary key, which is read as such, or all rows of a small table on purpose"
OWN_ROWS = "rows of the cluster tables: an UPDATE reads past locked ones that do not match, and there is no other index"
SKIPS = "it steps over what is locked, and the rows that it finds are deleted by primary key"
PAIRS = "keys of two columns: of a few the server reads just those, and the hint would have it read all of the first"
ALLOWED = {
    "asyncflow.scheduler.cluster.queries": OWN_ROWS,
    "asyncflow.scheduler.cluster.resharding.queries": "nobody else works while shards are counted anew",
    "asyncflow.scheduler.configuration.queries": ONE_ROW,
    "asyncflow.scheduler.jobs.queries": OWN_ROWS,
    "asyncflow.scheduler.notices.queries": ONE_ROW,
    "asyncflow.scheduler.operator.look_queries": ONE_ROW,
    "asyncflow.scheduler.table.queries": ONE_ROW,
    "asyncflow.scheduler.relay.keys.queries": ONE_ROW,
    "asyncflow.scheduler.upkeep.queries": ONE_ROW,
    "asyncflow.scheduler.upkeep.rolling.queries": ONE_ROW,
    "asyncflow.scheduler.upkeep.stray_queries": ONE_ROW,
    "asyncflow.scheduler.operator.by_hand.queries": ONE_ROW,
    "asyncflow.outbox.inbox": SKIPS,
    "asyncflow.outbox.queries": PAIRS,
    "asyncflow.scheduler.charts.queries": PAIRS,
    "asyncflow.testing.queries": "of tests, where nobody else works",
}
NAMED = ("is_named(", "is_among(", "_among(", "pending_literally(", "_held(", "_due(", "_still(", "_as_read(")


def unhinted(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield function and statement of each that locks, and is not handed to ``by_primary_key`` in that function."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for statement in function.body:
                text = ast.unparse(statement)
                if locks(statement) and "by_primary_key(" not in ast.unparse(function):
                    yield function.name, text


def locks(node: ast.AST) -> bool:
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
    names = {one.func.id for one in calls if isinstance(one.func, ast.Name)}
    methods = {one.func.attr for one in calls if isinstance(one.func, ast.Attribute)}
    return bool(names & {"update", "delete"} or "with_for_update" in methods)


FOUND = [(module, *one) for module, tree in trees().items() for one in unhinted(tree)]


@pytest.mark.parametrize(("module", "function", "statement"), FOUND)
def test_what_names_its_rows_is_hinted(module: str, function: str, statement: str) -> None:
    assert not any(name in statement for name in NAMED), f"{module}.{function}: by_primary_key() is missing"
    assert module in ALLOWED, f"{module}.{function}: by_primary_key(), or say why not"


def test_what_is_allowed_is_there() -> None:
    assert ALLOWED.keys() == {module for module, *_ in FOUND}
