"""asyncflow's tables, added to the application's own MetaData.

``create_all`` makes them and Alembic's autogenerate sees them like any other table of the application. The
Core door (``task_table``) and the declarative mixin (``TaskMixin``) are built from one column list.
"""

from asyncflow.outbox.tables.all_tables import Tables
from asyncflow.outbox.tables.cluster_tables import instance_table, job_table, shard_table
from asyncflow.outbox.tables.column_types import TaskId
from asyncflow.outbox.tables.inbox_table import inbox_table, inbox_tables
from asyncflow.outbox.tables.lengths import (
    ACTION_LENGTH,
    ACTOR_LENGTH,
    CONSUMER_LENGTH,
    CRON_LENGTH,
    JOB_LENGTH,
    KEY_LENGTH,
    MESSAGE_ID_LENGTH,
    MOST_CONTEXT_ROW_BYTES,
    OVERFLOWN,
    OWNER_LENGTH,
    PERIODIC_NAME_LENGTH,
    REASON_LENGTH,
    RESULT_STAGE,
    SCHEDULE_LOG_LENGTH,
    STAGE_LENGTH,
    TASK_TYPE_LENGTH,
    TIMEZONE_LENGTH,
    WORKER_COLUMNS,
)
from asyncflow.outbox.tables.operator_tables import audit_table, chart_table, periodic_table, schedule_cfg_table
from asyncflow.outbox.tables.task_mixin import TaskMixin
from asyncflow.outbox.tables.task_tables import (
    context_table,
    dedupe_table,
    parked_key_table,
    task_columns,
    task_table,
    turn_table,
    unique_table,
)

__all__ = [
    "ACTION_LENGTH",
    "ACTOR_LENGTH",
    "CONSUMER_LENGTH",
    "CRON_LENGTH",
    "JOB_LENGTH",
    "KEY_LENGTH",
    "MESSAGE_ID_LENGTH",
    "MOST_CONTEXT_ROW_BYTES",
    "OVERFLOWN",
    "OWNER_LENGTH",
    "PERIODIC_NAME_LENGTH",
    "REASON_LENGTH",
    "RESULT_STAGE",
    "SCHEDULE_LOG_LENGTH",
    "STAGE_LENGTH",
    "TASK_TYPE_LENGTH",
    "TIMEZONE_LENGTH",
    "WORKER_COLUMNS",
    "Tables",
    "TaskId",
    "TaskMixin",
    "audit_table",
    "chart_table",
    "context_table",
    "dedupe_table",
    "inbox_table",
    "inbox_tables",
    "instance_table",
    "job_table",
    "parked_key_table",
    "periodic_table",
    "schedule_cfg_table",
    "shard_table",
    "task_columns",
    "task_table",
    "turn_table",
    "unique_table",
]
