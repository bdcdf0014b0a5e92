"""A counted application: how many statements its work takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine

from tests.integration.outbox.dialects.store import Statements
from tests.support.application import Application


class Counting:
    """Count the statements of an engine by their first word."""

    def __init__(self, application: Application) -> None:
        self.application = application

    @contextmanager
    def counting(self) -> Iterator[dict[str, int]]:
        """Fill the dictionary at the end of the block."""
        counts: dict[str, int] = {}
        with Statements(self.application.engine) as sent:
            yield counts
        for statement, _ in sent:
            word = statement.lstrip("( ").split()[0].upper()
            counts[word] = counts.get(word, 0) + 1


@pytest.fixture
def application(engine: Engine) -> Application:
    """Give an application with tables that no test has had before, of which the planners know nothing yet."""
    return Application(engine)


@pytest.fixture
def counted(application: Application) -> Counting:
    """Give an application whose statements are counted."""
    return Counting(application)
