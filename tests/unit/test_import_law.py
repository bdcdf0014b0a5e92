"""The law of imports, read from the imports themselves."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import asyncflow

ROOT = Path(asyncflow.__file__).parent
STANDARD = sys.stdlib_module_names | {"tomllib"}  # which a Python that is too old for it does not know
CORE_DEPENDENCIES = {"sqlalchemy", "apscheduler", "uuid_utils", "orjson", "tomli", "typing_extensions"}


class Import(NamedTuple):
    """Hold one import: who imports what, both as dotted names."""

    importer: str
    imported: str


def module_name(path: Path) -> str:
    parts = ["asyncflow", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[Import]:
    name = module_name(path)
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (Import(name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield Import(name, source)
            yield from (Import(name, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "library")):
            yield from (Import(name, str(arg.value)) for arg in node.args[:1] if isinstance(arg, ast.Constant))


IMPORTS = [found for path in sorted(ROOT.rglob("*.py")) for found in imports_of(path)]


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


def crossings(importers: str, *forbidden: str) -> list[Import]:
    return [
        found
        for found in IMPORTS
        if within(found.importer, importers) and any(within(found.imported, room) for room in forbidden)
    ]


def test_the_imports_were_read() -> None:
    assert Import("asyncflow.scheduler.instance", "asyncflow.outbox") in IMPORTS
    assert Import("asyncflow.integrations.redis.extras", "redis") in IMPORTS
    assert len(IMPORTS) > 200


@pytest.mark.parametrize(
    "room", ["asyncflow.scheduler", "asyncflow.integrations", "asyncflow.cli", "asyncflow.testing"]
)
def test_the_outbox_imports_nothing_above_it(room: str) -> None:
    assert crossings("asyncflow.outbox", room) == []


@pytest.mark.parametrize("room", ["asyncflow.integrations", "asyncflow.cli", "asyncflow.testing"])
def test_the_scheduler_imports_nothing_above_it(room: str) -> None:
    assert crossings("asyncflow.scheduler", room) == []


def test_the_errors_import_no_other_module_of_ours() -> None:
    assert crossings("asyncflow.errors", "asyncflow") == []


def integration_of(name: str) -> str | None:
    """Return ``asyncflow.integrations.kafka`` for a name in that room, None for one in no integration."""
    parts = name.split(".")
    return ".".join(parts[:3]) if parts[:2] == ["asyncflow", "integrations"] and len(parts) > 2 else None


def test_integrations_do_not_import_each_other() -> None:
    rooms = {path.stem for path in (ROOT / "integrations").iterdir()}
    strays = [
        found
        for found in IMPORTS
        if (importer := integration_of(found.importer))
        and (imported := integration_of(found.imported))
        and imported.split(".")[2] in rooms
        and imported != importer
    ]
    assert strays == []


def test_nothing_but_the_core_dependencies_is_imported_outside_integrations() -> None:
    allowed = STANDARD | CORE_DEPENDENCIES | {"asyncflow"}
    strays = [
        found
        for found in IMPORTS
        if not within(found.importer, "asyncflow.integrations") and found.imported.split(".")[0] not in allowed
    ]
    assert strays == []


def runtime_roots(path: Path) -> set[str]:
    """Return the top-level packages that importing the module imports, but for those under TYPE_CHECKING."""
    roots: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            roots.add(node.module.split(".")[0])
    return roots


def test_the_distribution_declares_every_core_dependency() -> None:
    from importlib.metadata import requires

    declared = {re.split(r"[<>=; \[]", requirement)[0] for requirement in requires("asyncflow-outbox") or ()}
    imported = {
        root
        for path in ROOT.rglob("*.py")
        if "integrations" not in path.parts
        for root in runtime_roots(path)
        if root not in STANDARD and root != "asyncflow"
    }
    assert {root.replace("_", "-") for root in imported} <= declared


def test_importing_the_front_door_loads_no_client_of_an_integration() -> None:
    import subprocess

    clients = (
        "kafka",
        "confluent_kafka",
        "pymysql",
        "psycopg",
        "fastapi",
        "flask",
        "redis",
        "kazoo",
        "etcd3gw",
        "requests",
        "greenlet.asyncio",
    )
    script = f"import sys, asyncflow, asyncflow.cli; print([n for n in {clients!r} if n in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=True)
    assert answer.stdout.strip() == "[]"
