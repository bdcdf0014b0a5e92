"""What can go wrong with a service.

ServiceError
├── CannotServeError     this provider cannot serve here; the next one is asked
├── StartError           the program was started and did not answer in time
├── NothingServesError   every provider was asked and none serves
└── NotOursError         the service is not one that we started
"""

from __future__ import annotations

from pathlib import Path

LOG_LINES_SHOWN = 15


class ServiceError(Exception):
    """A test service cannot be had, or cannot be steered; the message says what to do."""


class CannotServeError(ServiceError):
    """This provider cannot serve here; the message is its reason."""


class StartError(ServiceError):
    """The program was started and did not answer in time; the message ends with its log's last lines."""

    def __init__(self, what: str, remedy: str, log: Path) -> None:
        super().__init__(f"{what}. {remedy}.\n{_last_lines(log)}")


class NothingServesError(ServiceError):
    """Every provider was asked and none serves; the message gives each one's reason."""

    def __init__(self, title: str, variable: str, reasons: list[str]) -> None:
        listed = "\n".join(f"- {reason}" for reason in reasons)
        super().__init__(f"nobody serves {title}; set {variable}, or mend one of these reasons:\n{listed}")


class NotOursError(ServiceError):
    """The service was not started by us, so we neither stop nor kill it."""


def _last_lines(log: Path) -> str:
    """Return the end of a log below its path."""
    text = log.read_text(errors="replace") if log.exists() else "(no log was written)"
    lines = text.splitlines()[-LOG_LINES_SHOWN:]
    return "\n".join([f"last lines of {log}:", *(f"  | {line}" for line in lines)])
