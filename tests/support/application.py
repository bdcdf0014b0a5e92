"""A small application around an outbox, as a user would write one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, Executable, String, Table, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from asyncflow import Inbox, Outbox, Scheduler
from asyncflow.events import Hook
from asyncflow.testing import MemoryPublisher, Signals


class Application:
    """Have a users table, an outbox with the type ``user.registered``, and an inbox."""

    def __init__(self, engine: Engine, *, has_tables: bool = False, **outbox_options: Any) -> None:
        class Base(DeclarativeBase):
            pass

        class User(Base):
            __tablename__ = "users"
            account_no: Mapped[str] = mapped_column(String(40), primary_key=True)
            name: Mapped[str | None] = mapped_column(String(40))

        self.engine = engine
        self.Base = Base
        self.User = User
        self.signals = Signals()
        self.outbox = Outbox(Base.metadata, **outbox_options)
        self.outbox.message("user.registered")
        self.inbox = Inbox(Base.metadata)
        if not has_tables:
            Base.metadata.create_all(engine)

    @property
    def users(self) -> Table:
        return self.Base.metadata.tables[self.User.__tablename__]

    def session(self) -> Session:
        return Session(self.engine)

    def scheduler(self, publisher: Any = None, *hooks: Hook, **options: Any) -> Scheduler:
        """Return a scheduler with ``self.signals`` as a hook; publisher may be a mapping of destinations.

        Its lease outlasts a slow test: one that takes shares by hand renews nothing.
        """
        if "settings" not in options:
            options.setdefault("lease_seconds", 600.0)
        publishers = publisher if isinstance(publisher, dict) else {"kafka": publisher or MemoryPublisher()}
        return Scheduler(self.engine, self.outbox, publishers, hooks=[self.signals, *hooks], **options)

    def rows(self, statement: Executable | None = None) -> list[Any]:
        """Return the task rows in order of enqueueing, or those of ``statement``."""
        tasks = self.outbox.tasks
        with self.engine.connect() as connection:
            return list(connection.execute(statement if statement is not None else select(tasks).order_by(tasks.c.id)))

    def statuses(self) -> list[int]:
        tasks = self.outbox.tasks
        return [row.status for row in self.rows(select(tasks.c.status).order_by(tasks.c.id))]

    def make_due(self) -> None:
        """Let every pending task be due now, in place of waiting."""
        with self.engine.begin() as connection:
            past = "'2020-01-01 00:00:00.000000'"
            name = self.outbox.tasks.fullname
            connection.execute(text(f"UPDATE {name} SET order_time={past}, next_select_time={past} WHERE status=0"))
