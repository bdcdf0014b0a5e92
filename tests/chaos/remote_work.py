"""What the workers of a task service do in crash tests, and the audit of their claims by the database itself."""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, Column, Engine, Integer, MetaData, Table, insert, text
from sqlalchemy.orm import Session

from asyncflow import NotDone, Outbox, TaskContext
from tests.support.options import RetryTimes

metadata = MetaData()
outbox = Outbox(metadata)
effects = Table(
    "effects",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("number", Integer, nullable=False),  # not unique: a second effect must be seen
)
_SOON: RetryTimes = {"retry_interval_seconds": 0.1, "max_retry_interval_seconds": 0.1}


@outbox.task(transactional=True, concurrency=4, max_retries=100, **_SOON)
def counted(session: Session, number: int) -> None:
    """Have one effect, in the transaction that settles the task."""
    session.execute(insert(effects).values(number=number))
    time.sleep(random.uniform(0.02, 0.2))


@outbox.task(concurrency=4, limit=20, max_retries=100, **_SOON)
def staged(number: int, ctx: TaskContext) -> None:
    """Go through stages and come back, settled over HTTP; claimed by twenty, done by four."""
    if ctx.stage is None:
        ctx.checkpoint(stage="begun", context={"number": number})
        raise NotDone(0.05)
    if ctx.context != {"number": number}:
        raise AssertionError(f"another context: {ctx.context}")
    time.sleep(random.uniform(0.02, 0.2))


@outbox.task(max_retries=2, **_SOON)
def deadly() -> None:
    """End the process."""
    os._exit(17)


@outbox.task(max_retries=1, **_SOON)
def hungry() -> None:
    """Ask for more memory than a process under RLIMIT_AS may have."""
    bytearray(8 * 1024**3)


# -- the audit -------------------------------------------------------------------------------------------

_AUDIT = """
CREATE TABLE claim_audit (
    number BIGINT PRIMARY KEY AUTO_INCREMENT, task_id BINARY(16) NOT NULL, what VARCHAR(10) NOT NULL,
    token BINARY(16), at DATETIME(6) NOT NULL, held_until DATETIME(6) NOT NULL, ran_out BOOLEAN NOT NULL
)
"""
# The row's lock is held: the numbers of one task's lines are in the order of what happened to it.
_TRIGGER = """
CREATE TRIGGER audit_claims AFTER UPDATE ON asyncflow_task FOR EACH ROW BEGIN
    DECLARE has_run_out BOOLEAN DEFAULT NOT (NEW.schedule_log <=> OLD.schedule_log)
        AND SUBSTRING_INDEX(NEW.schedule_log, '\n', 1) LIKE '%the claim ran out%';
    IF OLD.status = 1 AND (NEW.status <> 1 OR NOT (NEW.claim_token <=> OLD.claim_token)) THEN
        INSERT INTO claim_audit (task_id, what, token, at, held_until, ran_out) VALUES
            (OLD.id, 'end', OLD.claim_token, UTC_TIMESTAMP(6), OLD.order_time, has_run_out);
    END IF;
    IF NEW.status = 1 AND (OLD.status <> 1 OR NOT (NEW.claim_token <=> OLD.claim_token)) THEN
        INSERT INTO claim_audit (task_id, what, token, at, held_until, ran_out) VALUES
            (NEW.id, IF(OLD.status = 0, 'claim', 'theft'), NEW.claim_token, UTC_TIMESTAMP(6), NEW.order_time, FALSE);
    END IF;
END
"""


class Audit:
    """Hold what the trigger has written: the claims of each task, and where one began too early."""

    def __init__(self, engine: Engine) -> None:
        self.claims = self.ran_out = 0
        self.faults: list[str] = []
        live: dict[bytes, bytes] = {}
        with engine.connect() as connection:
            lines = connection.execute(text("SELECT * FROM claim_audit ORDER BY number")).all()
        for line in lines:
            self._read(line, live)
        self.still_live = len(live)

    @staticmethod
    def begin(engine: Engine) -> None:
        """Let the database write down each claim from now on, and how it ended."""
        with engine.begin() as connection:
            connection.execute(text(_AUDIT))
            connection.exec_driver_sql(_TRIGGER.replace("%", "%%"))

    def _read(self, line: Iterable[Any], live: dict[bytes, bytes]) -> None:
        _, task_id, what, token, at, held_until, ran_out = line
        if what == "end":
            if live.pop(task_id, None) != token:
                self.faults.append(f"{task_id.hex()}: an end of a claim that was not live")
            self.ran_out += ran_out
            if ran_out and at < held_until:
                self.faults.append(f"{task_id.hex()}: given back at {at}, although held until {held_until}")
            return
        self.claims += 1
        if what == "theft" or task_id in live:
            self.faults.append(f"{task_id.hex()}: claimed at {at} while another claim was live")
        live[task_id] = token


def statuses(engine: Engine) -> dict[tuple[str, int], int]:
    """Return the number of tasks of each type and status."""
    counts: dict[tuple[str, int], int] = defaultdict(int)
    with engine.connect() as connection:
        for name, status, count in connection.execute(
            text("SELECT task_type, status, COUNT(*) FROM asyncflow_task GROUP BY task_type, status")
        ):
            counts[name, status] += count
    return dict(counts)
