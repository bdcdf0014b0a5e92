"""Tables and indexes that are not as this version needs them."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine

from asyncflow.outbox import Outbox
from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity
from asyncflow.scheduler.diagnosis.words import say
from asyncflow.scheduler.table.table_check import NOT_THERE, table_differences


def findings_of_tables(engine: Engine, outbox: Outbox) -> Iterator[Finding]:
    """Return what differs, a finding for each table, or one for all if none is there. Raises ConnectionSilentError."""
    differing = table_differences(engine, outbox)
    if len(differing) == len(outbox.all_tables) and all(told.endswith(NOT_THERE) for _, told in differing):
        yield _none_there(differing[0][0])
        return
    for table, difference in differing:
        yield Finding(
            code=Code.TABLE_DIFFERS,
            severity=Severity.STUCK,
            kind="table",
            name=table,
            since=None,
            cause=say(
                "{difference}; schedulers of this version refuse to start, or read whole tables.", difference=difference
            ),
            remedy=say("asyncflow schema check  # tells all that differs, and what mends it"),
        )


def _none_there(table: str) -> Finding:
    return Finding(
        code=Code.TABLE_DIFFERS,
        severity=Severity.STUCK,
        kind="table",
        name=table,
        since=None,
        cause=say(
            "None of asyncflow's tables is there, from {table} on: this is another database, they have another schema "
            "or prefix, or nobody has made them yet.",
            table=table,
        ),
        remedy=say(
            "asyncflow init-db --database-url URL  # makes them; where they are elsewhere, name --schema or --prefix"
        ),
    )
