"""What crash tests use."""

from __future__ import annotations

from tests.chaos.findings import finding, pytest_terminal_summary
from tests.chaos.fixtures import crash_run, shop, topic

__all__ = ["crash_run", "finding", "pytest_terminal_summary", "shop", "topic"]
