"""Each module that sends statements has bounds of the rows that they examine, or is named with why it needs none."""

from __future__ import annotations

import ast
import re

from tests.integration.speed.bounds import BOUNDS
from tests.unit.test_import_law import ROOT

SENDS = re.compile(r"\.(execute|scalars?|exec_driver_sql)\(")
# Whole rooms, and modules. What they send is bounded in whoever asks them, or reads no table of many rows.
ROOMS = {
    "outbox/dialects": "sends what it is asked for; settings and the catalogue",
    "outbox/transaction": "asks what a connection is",
    "scheduler/connections": "sends what it is asked for",
    "scheduler/schema": "the catalogue, and what changes tables, which a person runs and watches",
    "scheduler/jobs": "a job, and its items by their key",
    "testing": "the tables of a test",
    "integrations/django": "migrations, and a task by its id",
    "integrations/redis": "commands of Redis",
}
MODULES = {
    "commands/processes/health": "a question without a table",
    "integrations/dashboard/pages/keys": "the first two hundred parked keys, along their index",
    "integrations/flowsvr/idempotency": "keys of a request, by their primary key",
    "integrations/flowsvr/v1/routes": "the database's clock",
    "outbox/queries": "inserts",
    "outbox/rolling/shelf": "the numbered tables that there are",
    "outbox/rolling/numbered_tables": "the numbered tables that there are",
    "scheduler/heads/templates": "sends what it is asked for",
    "scheduler/relay/locked_rows": "shards, and keys of a round by their primary key",
    "scheduler/relay/settler": "the shards, locked",
    "scheduler/worker/claiming/claims": "tasks by their ids, the answer to whose settle was lost",
    "scheduler/worker/rescuing/monitor": "instances by their names",
}
BOUNDED = {place.partition(":")[0] for place in BOUNDS}


def sending() -> set[str]:
    paths = {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in ROOT.rglob("*.py")}
    return {name for name, path in paths.items() if SENDS.search(path.read_text(encoding="utf-8"))}


def is_excused(module: str) -> bool:
    return module in MODULES or any(module.startswith(f"{room}/") for room in ROOMS)


def test_each_module_that_sends_statements_has_bounds_or_needs_none() -> None:
    assert sorted(module for module in sending() - BOUNDED if not is_excused(module)) == []


def test_none_is_excused_that_has_bounds_or_sends_nothing() -> None:
    there = sending()
    assert sorted(module for module in MODULES if module in BOUNDED or module not in there) == []
    assert sorted(room for room in ROOMS if not any(module.startswith(f"{room}/") for module in there)) == []


def test_each_bound_is_of_a_function_that_there_is() -> None:
    gone = []
    for place in BOUNDS:
        module, _, function = place.partition(":")
        path = ROOT / f"{module}.py"
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.exists() else ast.Module([], [])
        names = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        if not path.exists() or (function not in names and not function.startswith("<")):
            gone.append(place)
    assert gone == []
