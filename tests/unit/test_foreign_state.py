"""What an object holds, it is given or sets itself: nobody writes into an object that he did not make."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.unit.test_wiring import trees

# By module and attribute; what is written there belongs to a library, which asks for it so.
ALLOWED = {
    ("asyncflow.commands.printing", "message"): "logging's own way of a formatter: the record's text is made by it",
    ("asyncflow.commands.stop_signals", "mask"): "of threading.local: each thread's own",
    ("asyncflow.scheduler.connections.sqlite_calls", "calls"): "of threading.local: each thread's own",
    ("asyncflow.integrations.flowsvr.door.connection", "disconnected"): "uvicorn's own word to a request's application",
    ("asyncflow.integrations.flowsvr.server", "should_exit"): "uvicorn's own way to be stopped",
    ("asyncflow.integrations.opentelemetry.head", "id_generator"): "a copy of ours of a tracer, for one trace",
    ("asyncflow.outbox.declarations.task_type", "_others"): "one of its own class, and each is to know the other",
    ("asyncflow.outbox.dialects.postgresql", "autocommit"): "psycopg's own way out of a transaction",
    ("asyncflow.outbox.dialects.postgresql", "cursor_factory"): "psycopg's own way to another kind of cursor",
    ("asyncflow.outbox.dialects.postgresql", "format"): "psycopg's own way to rows in binary",
    ("asyncflow.outbox.dialects.postgresql", "prepare_threshold"): "psycopg's own way to prepare nothing",
    ("asyncflow.outbox.transaction.engine_loops", "connect"): "a pool that tells of no connection's event loop",
    ("asyncflow.outbox.transaction.engine_loops", "_connection_record"): "a connection of another loop, taken apart",
    ("asyncflow.outbox.transaction.engine_loops", "dbapi_connection"): "a connection of another loop, taken apart",
    ("asyncflow.text", "hide_parameters"): "SQLAlchemy's switch of an error's text",
}
# What narrows the type that a library gives, and no state of ours.
ASSERTED = {
    "asyncflow.outbox.cron.stretches": "utcoffset() of a moment with a zone",
    "asyncflow.outbox.dialects.counting": "the primary key of a row that was inserted",
    "asyncflow.testing.calls": "the connection of an AsyncConnection that was begun",
}

Write = tuple[str, str, str]  # module, attribute, the line


@cache
def records() -> dict[str, set[str]]:
    """Return, by room, the fields of its records: dataclasses that may be written into, there and nowhere else."""
    fields: defaultdict[str, set[str]] = defaultdict(set)
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and is_record(node):
                room = module.rpartition(".")[0]
                fields[room] |= {ast.unparse(one.target) for one in node.body if isinstance(one, ast.AnnAssign)}
    return fields


def is_record(node: ast.ClassDef) -> bool:
    decorators = [ast.unparse(one) for one in node.decorator_list]
    return any("dataclass" in one and "frozen=True" not in one for one in decorators)


def writes(module: str, tree: ast.Module) -> Iterator[Write]:
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            made = {"self", "cls", *(name for node in own_nodes(function) for name in names_made(node))}
            made |= {one.name for one in ast.walk(function) if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))}
            for node in own_nodes(function):
                for target in targets_of(node):
                    owner = ast.unparse(target.value)
                    if owner not in made and not owner.endswith(".state"):  # Starlette's, for whom it concerns
                        yield module, target.attr, f"{module}:{target.lineno}: {ast.unparse(target)}"


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of functions within it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield child
            yield from own_nodes(child)


def names_made(node: ast.AST) -> Iterator[str]:
    """Yield the variables that hold what was made right there: by a class, or by a method of one."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        called = ast.unparse(node.value.func).split("[")[0].split(".")
        if called[0] == "cls" or any(part.lstrip("_")[:1].isupper() for part in called):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def targets_of(node: ast.AST) -> Iterator[ast.Attribute]:
    given: list[Any] = []
    if isinstance(node, ast.Assign):
        given = node.targets
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        given = [node.target]
    for target in given:
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        yield from (part for part in parts if isinstance(part, ast.Attribute))


def foreign(module: str, tree: ast.Module) -> list[Write]:
    own = records()[module.rpartition(".")[0]]
    return [write for write in writes(module, tree) if write[1] not in own]


def test_no_module_writes_into_an_object_that_it_did_not_make() -> None:
    found = [write for module, tree in trees().items() for write in foreign(module, tree)]
    assert [line for module, name, line in found if (module, name) not in ALLOWED] == []
    assert ALLOWED.keys() - {(module, name) for module, name, _ in found} == set(), "no exception without a case"


def test_nothing_is_asserted_of_a_state_that_a_type_could_tell() -> None:
    found = {module for module, tree in trees().items() for node in ast.walk(tree) if isinstance(node, ast.Assert)}
    assert found == ASSERTED.keys()


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("def f(claims):\n    claims.marked = 1", 1),
        ("def f(self):\n    self.claims.marked = 1", 1),
        ("def f(self):\n    self.marked = 1", 0),
        ("def f():\n    claims = Claims()\n    claims.marked = 1", 0),
        ("def f():\n    claims = found()\n    claims.marked += 1", 1),
        ("def f(a, b):\n    a.marked, b.marked = 1, 2", 2),
    ],
)
def test_the_law_sees_what_is_written_from_outside(source: str, count: int) -> None:
    assert len(list(writes("asyncflow.example", ast.parse(source)))) == count
