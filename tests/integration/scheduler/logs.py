"""What is logged in a test, by what the test has made."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from asyncflow.events import Event

# The libraries that a scheduler stands on: of what others say, another test of this process may be the reason.
_ITS_OWN = ("asyncflow", "sqlalchemy", "apscheduler", "psycopg", "pymysql")


class Log:
    """Read what a test's own threads log; those of another test may not have ended yet."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog
        self._others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}

    def records(self, least: int = logging.NOTSET) -> list[logging.LogRecord]:
        """Return the records of a level and above.

        But for the pool's own, which SQLAlchemy writes where a connection breaks as it is given back.
        """
        records = [one for one in self.caplog.records if one.thread not in self._others and one.levelno >= least]
        return [one for one in records if one.name.startswith(_ITS_OWN) and not one.name.startswith("sqlalchemy.pool")]

    def told(self, kind: type[Event]) -> list[Any]:
        """Return the events of a kind that a person who reads at INFO sees."""
        seen = [one.event for one in self.records(logging.INFO) if hasattr(one, "event")]
        return [event for event in seen if isinstance(event, kind)]
