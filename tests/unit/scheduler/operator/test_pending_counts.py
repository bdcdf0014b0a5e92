"""What a drain has left is told of types that have something left."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import MetaData

from asyncflow import Outbox, Status
from asyncflow.scheduler.operator import pending_counts
from asyncflow.scheduler.operator.type_counts import TypeCounts


def test_a_type_whose_last_task_was_done_while_it_was_counted_is_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {(Status.PENDING, "mail"): 0, (Status.PENDING, "send"): 2}
    monkeypatch.setattr(pending_counts, "count_types", lambda *_: TypeCounts(counts, 100))
    nobody: Any = None
    assert pending_counts._read(nobody, Outbox(MetaData())) == {"send": 2}
