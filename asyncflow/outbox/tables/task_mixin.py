"""The task table, mapped by the application itself."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy.orm import declared_attr

from asyncflow.outbox.tables.task_tables import task_table

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapped


class TaskMixin:
    """Map the task table on the application's declarative base, to read tasks with the ORM.

    ``class OutboxTask(TaskMixin, Base): __tablename__ = "asyncflow_task"``. Give ``Outbox`` the same
    MetaData and name; it finds the table.
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

    else:

        @declared_attr.directive
        def __table__(cls):  # noqa: N805 - declared_attr passes the class
            """Build the table in the MetaData of the class's base, in the schema of its ``__table_args__``."""
            arguments = getattr(cls, "__table_args__", None) or {}
            options = arguments if isinstance(arguments, dict) else arguments[-1]
            schema = options.get("schema") if isinstance(options, dict) else None
            return task_table(cls.metadata, cls.__tablename__, schema)
