"""The house, read from its files: rooms of a size that a person overlooks, and no circles between modules."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from itertools import filterfalse

from tests.unit.test_import_law import IMPORTS, ROOT, module_name

MOST_MODULES = 16
MOST_LINES = 40  # of a function
MODULES = {module_name(path) for path in ROOT.rglob("*.py")}


def test_no_room_holds_more_modules_than_can_be_overlooked() -> None:
    rooms = {path.parent for path in ROOT.rglob("*.py")}
    sizes = {str(room.relative_to(ROOT)): len([*room.glob("[a-z]*.py")]) for room in rooms}
    assert {room: size for room, size in sizes.items() if size > MOST_MODULES} == {}


def test_no_function_is_longer_than_can_be_read_at_one_look() -> None:
    long = [
        f"{module_name(path)}:{node.lineno} {node.name}"
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None
        if node.end_lineno - node.lineno >= MOST_LINES
    ]
    assert long == []


def test_every_room_tells_what_it_is_for() -> None:
    assert [str(path) for path in ROOT.rglob("__init__.py") if not path.read_text().lstrip().startswith('"""')] == []


def test_no_modules_import_each_other_in_a_circle_for_types_neither() -> None:
    graph: dict[str, set[str]] = {name: set() for name in MODULES}
    for importer, imported in IMPORTS:
        if imported in MODULES and imported != importer and not is_front_door(importer):
            graph[importer].add(imported)
    # A front door imports the room behind it, and its rooms import the doors of other rooms.
    TopologicalSorter({name: set(filterfalse(is_front_door, wanted)) for name, wanted in graph.items()}).prepare()


def is_front_door(name: str) -> bool:
    return (ROOT.parent / name.replace(".", "/")).is_dir()
