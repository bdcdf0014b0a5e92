"""The least version of SQLAlchemy, checked where this room is imported: an older one drops effects in silence."""

from __future__ import annotations

import re

import sqlalchemy

from asyncflow.errors import LibraryTooOldError

# Up to 2.0.27 the number of rows that an INSERT .. ON CONFLICT wrote was not told on PostgreSQL: the inbox took each
# message as seen. Up to 2.0.30 a mixin's columns were not copied as the task table needs them. Up to 2.0.37 nobody
# could listen to a connection of an engine with execution options, as wake-ups, handlers and looks do.
LEAST_SQLALCHEMY = (2, 0, 38)


def require_sqlalchemy(version: str = sqlalchemy.__version__) -> None:
    """Raise LibraryTooOldError, naming the version and the remedy, for one that the outbox does not work with."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if numbers < LEAST_SQLALCHEMY:
        least = ".".join(map(str, LEAST_SQLALCHEMY))
        raise LibraryTooOldError(
            f"SQLAlchemy is {version}, which is older than the outbox works with: it may take a new message as "
            f"seen, or fail with a mixin or an engine that has execution options; install {least} or later: "
            f'pip install "sqlalchemy>={least}"'
        )


require_sqlalchemy()
