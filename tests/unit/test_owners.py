"""State that changes has a stated owner: a thread, an event loop, a process, or a lock for all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

from tests.unit.test_foreign_state import is_record
from tests.unit.test_wiring import trees

OWNERS = ("thread", "loop", "process", "used where its reader is", "made for one delivery")
# Not shared by anybody: each is made, filled and read within one call, or changed before anything runs.
NOT_SHARED = {
    "TaskTypes": "by its declarations",
    "LoggedHooks": "as Hooks are, whose it is one",
    "_Maker": "within the declaration of one handler",
    "_LaneWalk": "within one command",
    "Committed": "within one drain of a test",
    "Rows": "within one drain of a test",
    "MemoryPublisher": "as every publisher is called",
}


def changing() -> Iterator[tuple[str, ast.ClassDef]]:
    """Yield the classes that write into themselves after they were made."""
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not is_record(node) and any(map(writes_itself, node.body)):
                yield module, node


def writes_itself(method: ast.stmt) -> bool:
    if not isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    if method.name in ("__init__", "_make", "leave_to_parent"):
        return False
    return any(is_own(target) for node in ast.walk(method) for target in targets(node))


def targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return [part for one in node.targets for part in (one.elts if isinstance(one, ast.Tuple) else [one])]
    return [node.target] if isinstance(node, (ast.AugAssign, ast.AnnAssign)) else []


def is_own(target: ast.expr) -> bool:
    inner = target.value if isinstance(target, ast.Subscript) else target
    return isinstance(inner, ast.Attribute) and ast.unparse(inner.value) == "self"


@cache
def docstrings() -> dict[str, str]:
    classes = (node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return {node.name: ast.get_docstring(node) or "" for node in classes}


def states_an_owner(node: ast.ClassDef) -> bool:
    bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
    told = [docstrings().get(name, "").lower() for name in (node.name, *bases)]
    return any(owner in text for text in told for owner in OWNERS)


def test_whoever_changes_says_on_whose_thread() -> None:
    found = list(changing())
    assert len(found) > 60
    silent = {f"{module}.{node.name}" for module, node in found if not states_an_owner(node)}
    assert {name for name in silent if name.rpartition(".")[2] not in NOT_SHARED} == set()


def test_no_class_is_excepted_that_does_not_change() -> None:
    assert NOT_SHARED.keys() - {node.name for _, node in changing()} == set()
