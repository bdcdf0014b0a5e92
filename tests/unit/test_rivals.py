"""What asyncflow is measured beside is none of it."""

from __future__ import annotations

import ast

from tests.support.snippets import ROOT


def imports_of(text: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(text)))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_no_rival_of_a_benchmark_uses_asyncflow() -> None:
    rivals = {path.name: imports_of(path.read_text()) for path in (ROOT / "benchmarks" / "rivals").glob("*.py")}
    assert len(rivals) > 4
    assert {name for name, found in rivals.items() if any(one.split(".")[0] == "asyncflow" for one in found)} == set()
