"""What proofs measured, told at the end of the test run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Tell = Callable[[object], None]
_FINDINGS = pytest.StashKey[list[str]]()


@pytest.fixture
def finding(request: pytest.FixtureRequest) -> Tell:
    """Give a function that prints a line, and keeps it for the summary of the test run."""
    kept = request.config.stash.setdefault(_FINDINGS, [])

    def tell(line: object) -> None:
        print(line)
        kept.append(str(line))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the findings once, whichever of our conftest modules asks first."""
    findings = config.stash.get(_FINDINGS, [])
    if findings:
        terminalreporter.section("findings")
        terminalreporter.write("\n".join(findings) + "\n")
    findings.clear()
