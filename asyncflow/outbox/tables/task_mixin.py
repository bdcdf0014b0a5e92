"""The task table, mapped by the application itself."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import Column, MetaData, Table

from asyncflow.errors import OptionError
from asyncflow.outbox.tables.column_types import APPLICATIONS
from asyncflow.outbox.tables.task_tables import task_columns, task_table

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapped


class TaskMixin:
    """Map the task table on the application's declarative base, to read tasks with the ORM.

    ``class OutboxTask(TaskMixin, Base): __tablename__ = "asyncflow_task"``. Give ``Outbox`` the same
    MetaData and name; it finds the table. Columns of the class's own must be nullable or have a default: our rows
    leave them out. Declare the class before the first task is written.
    """

    __tablename__ = "asyncflow_task"

    if TYPE_CHECKING:
        id: Mapped[uuid.UUID]
        task_type: Mapped[str]
        task_key: Mapped[str | None]
        shard: Mapped[int]
        status: Mapped[int]
        priority: Mapped[int]
        order_time: Mapped[datetime]
        next_select_time: Mapped[datetime]
        retry_count: Mapped[int]
        max_retries: Mapped[int]
        headers: Mapped[str | None]
        payload: Mapped[bytes | None]
        schedule_log: Mapped[str | None]
        created_at: Mapped[datetime]
        modified_at: Mapped[datetime]
        stage: Mapped[str | None]
        context: Mapped[str | None]
        owner: Mapped[str | None]
        claim_token: Mapped[uuid.UUID | None]
        __table__: ClassVar[Any]  # a Table; bases declare it in types that differ with the version

    @classmethod
    def __table_cls__(cls, name: str, metadata: MetaData, *own: Any, **options: Any) -> Table:
        """Add the table, with the class's own columns and the items of its ``__table_args__``; raises OptionError."""
        schema = options.pop("schema", None)
        table = task_table(metadata, name, schema)
        for column in own:
            if isinstance(column, Column):
                _require_optional(column, table)
        return Table(name, metadata, *own, schema=schema, extend_existing=True, **options)


_OURS = frozenset(column.name for column in task_columns())


def _require_optional(column: Column[Any], table: Table) -> None:
    """Raise OptionError for a column that is ours, or that no row of ours could fill."""
    column.info[APPLICATIONS] = True
    where = f"the column {column.name!r} of the class that maps {table.fullname}"
    if column.name in _OURS:
        raise OptionError(f"{where} is asyncflow's own, and mapped already; give yours another name")
    has_default = column.default is not None or column.server_default is not None
    if column.primary_key or not (column.nullable or has_default):
        raise OptionError(
            f"{where} would be empty in the rows that asyncflow writes; let it be nullable, or give it a default or "
            f"server_default"
        )
