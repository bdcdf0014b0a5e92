"""Statements stand in the modules that are called after them, and what differs between databases in the dialects."""

from __future__ import annotations

import ast

from tests.unit.test_import_law import ROOT, module_name

MAKERS = {"select", "insert", "update", "delete", "union_all", "text", "exists"}
# Modules that make one elsewhere, each with its reason.
OTHERS = {"asyncflow.scheduler.heads.type_rows": "of a template, whose text is filled in by who reads it"}


def makers_of(tree: ast.Module) -> set[str]:
    """Return the names by which a module makes statements of SQLAlchemy's."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    names = [name for node in imports if (node.module or "").startswith("sqlalchemy") for name in node.names]
    return {name.asname or name.name for name in names if name.name in MAKERS}


def test_statements_are_made_in_modules_of_queries_and_in_dialects_alone() -> None:
    trees = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.rglob("*.py")}
    making = {module for module, tree in trees.items() if makers_of(tree)}
    assert len(making) > 20
    strays = {name for name in making if not name.endswith("queries") and ".dialects." not in name}
    assert strays == OTHERS.keys()
