"""Statements that are made for each numbered table are kept for as many tables as an outbox may have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import MetaData, Table

from asyncflow import Outbox, RollOver
from asyncflow.outbox import queries
from asyncflow.outbox.look_up import queries as of_look_up
from asyncflow.scheduler.diagnosis.queries import one_task
from asyncflow.scheduler.operator.queries import statuses_of

OUTBOX = Outbox(MetaData(), roll_over=RollOver())
CONTEXTS = OUTBOX.contexts
FOR_EACH: dict[str, Callable[[Table], Any]] = {
    "along_key": partial(of_look_up.along_key, behind=False),
    "along_time": of_look_up.along_time,
    "enqueued_in_order": partial(of_look_up.enqueued_in_order, contexts=CONTEXTS),
    "kept_contexts": partial(of_look_up.kept_contexts, contexts=CONTEXTS),
    "of_status": partial(of_look_up.of_status, of_type=True, behind=None, contexts=None),
    "one_task": one_task,
    "outcome": partial(queries.outcome, contexts=CONTEXTS),
    "shown_whole": partial(of_look_up.shown_whole, contexts=CONTEXTS),
    "states": of_look_up.states,
    "statuses_of": statuses_of,
}


@pytest.mark.parametrize("name", FOR_EACH)
def test_a_statement_is_made_once_a_table(name: str) -> None:
    numbered, statement_of = OUTBOX.numbered_tables, FOR_EACH[name]
    assert numbered is not None
    tables = [numbered.table(number) for number in range(1, 101)]
    first = [statement_of(table) for table in tables]
    assert all(statement_of(table) is made for table, made in zip(tables, first, strict=True))
