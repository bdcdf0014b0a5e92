"""Tables and indexes that are not as this version needs them."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine

from asyncflow.outbox import Outbox
from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity
from asyncflow.scheduler.diagnosis.words import say
from asyncflow.scheduler.table.table_check import table_differences


def findings_of_tables(engine: Engine, outbox: Outbox) -> Iterator[Finding]:
    """Return what differs, a finding for each table. Raises ConnectionSilentError."""
    for table, difference in table_differences(engine, outbox):
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
