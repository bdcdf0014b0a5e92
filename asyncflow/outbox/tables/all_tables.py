"""The tables that an outbox has."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import MetaData, Table

from asyncflow.outbox.tables.cluster_tables import instance_table, job_table, shard_table
from asyncflow.outbox.tables.operator_tables import audit_table, chart_table, periodic_table, schedule_cfg_table
from asyncflow.outbox.tables.task_tables import (
    context_table,
    dedupe_table,
    parked_key_table,
    task_table,
    turn_table,
    unique_table,
)


class Tables(NamedTuple):
    """Hold all tables of one outbox."""

    tasks: Table
    shards: Table
    instances: Table
    parked_keys: Table
    jobs: Table
    dedupe_entries: Table
    periodic_entries: Table
    schedule_cfgs: Table
    audit_entries: Table
    contexts: Table
    turns: Table
    charts: Table
    unique_entries: Table

    @classmethod
    def of(cls, metadata: MetaData, prefix: str, schema: str | None) -> Tables:
        """Add the tables to ``metadata``, or find those that are there under their names."""
        return cls(
            tasks=task_table(metadata, f"{prefix}task", schema),
            shards=shard_table(metadata, f"{prefix}shard", schema),
            instances=instance_table(metadata, f"{prefix}instance", schema),
            parked_keys=parked_key_table(metadata, f"{prefix}parked_key", schema),
            jobs=job_table(metadata, f"{prefix}job", schema),
            dedupe_entries=dedupe_table(metadata, f"{prefix}dedupe", schema),
            periodic_entries=periodic_table(metadata, f"{prefix}periodic", schema),
            schedule_cfgs=schedule_cfg_table(metadata, f"{prefix}schedule_cfg", schema),
            audit_entries=audit_table(metadata, f"{prefix}audit", schema),
            contexts=context_table(metadata, f"{prefix}context", schema),
            turns=turn_table(metadata, f"{prefix}turn", schema),
            charts=chart_table(metadata, f"{prefix}chart", schema),
            unique_entries=unique_table(metadata, f"{prefix}unique", schema),
        )
