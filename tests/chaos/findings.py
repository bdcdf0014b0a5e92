"""What proofs measured, told at the end of the test run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

Tell = Callable[[object], None]
_NAME = "finding"
_ARE_TOLD = pytest.StashKey[bool]()


@pytest.fixture
def finding(request: pytest.FixtureRequest) -> Tell:
    """Give a function that prints a line, and keeps it for the summary, whatever process of the run writes that."""

    def tell(line: object) -> None:
        print(line)
        request.node.user_properties.append((_NAME, str(line)))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the findings once, whichever of our conftest modules asks first."""
    findings = [line for report in _calls(terminalreporter) for name, line in report.user_properties if name == _NAME]
    if findings and not config.stash.get(_ARE_TOLD, False):
        terminalreporter.section("findings")
        terminalreporter.write("\n".join(map(str, findings)) + "\n")
    config.stash[_ARE_TOLD] = True


def _calls(terminalreporter: pytest.TerminalReporter) -> Iterator[pytest.TestReport]:
    for reports in terminalreporter.stats.values():
        yield from (one for one in reports if isinstance(one, pytest.TestReport) and one.when == "call")
