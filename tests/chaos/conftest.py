"""What crash tests use."""

from __future__ import annotations

from tests.chaos.findings import finding, pytest_terminal_summary
from tests.chaos.fixtures import bank, cluster_run, crash_run, shop, topic

__all__ = ["bank", "cluster_run", "crash_run", "finding", "pytest_terminal_summary", "shop", "topic"]
