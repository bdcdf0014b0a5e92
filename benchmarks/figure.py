"""One measured figure, and how it is printed."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Hold a figure beside what it is measured against, in the same run on the same machine.

    ``ratio`` is value / beside_value, or its inverse where less is better: above 1 always means better than that.
    """

    name: str
    value: float
    unit: str
    beside: str  # what it is measured against
    beside_value: float
    ratio: float
    rounds: int
    goal: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Return the figure as a line of a table."""
        return (
            f"{self.name:<28} {self.value:>12,.1f} {self.unit:<11} beside {self.beside_value:>12,.1f}  "
            f"ratio {self.ratio:>5.2f}  {self.goal}  ({self.beside}, {self.rounds} rounds)"
        )

    def json(self) -> str:
        """Return the figure with the machine and the versions as one JSON object."""
        return orjson.dumps({**asdict(self), "machine": machine()}).decode()


def machine() -> dict[str, Any]:
    """Return what the figure depends on: cores, interpreter and client versions."""
    libraries = ("sqlalchemy", "pymysql", "confluent-kafka", "kafka-python", "orjson")
    return {
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in libraries},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
