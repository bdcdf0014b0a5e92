"""The application under test whose messages are ordered: moves of accounts, numbered within each account."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Integer, String, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from asyncflow import Message
from tests.chaos.business import Business

MOVED = "account.moved"
ACCOUNTS = 200


class Move(NamedTuple):
    """Hold one move: the message's id, its account and its number there."""

    message_id: str
    account: str
    number: int


class Bank(Business):
    """Have accounts, moves with the ids of their messages, and an outbox with the ordered type ``account.moved``."""

    def __init__(self, engine: Engine, topic: str) -> None:
        class Base(DeclarativeBase):
            pass

        class Account(Base):
            __tablename__ = "accounts"
            name: Mapped[str] = mapped_column(String(20), primary_key=True)
            moves: Mapped[int] = mapped_column(Integer, default=0)

        class Moved(Base):
            __tablename__ = "moves"
            message_id: Mapped[str] = mapped_column(String(36), primary_key=True)
            account: Mapped[str] = mapped_column(String(20))
            number: Mapped[int] = mapped_column(Integer)

        super().__init__(engine, Base.metadata)
        self.Account, self.Moved = Account, Moved
        self.outbox.message(MOVED, topic=topic, ordered=True)

    def create_tables(self) -> None:
        super().create_tables()
        with self.engine.begin() as connection:
            connection.execute(insert(self.Account), [{"name": name, "moves": 0} for name in account_names()])

    def move(self, connection: Connection, account: str, count: int) -> None:
        """Add moves to an account, under the lock of its row, and their messages."""
        table: Any = self.Account.__table__
        # Locked before the messages are written: so their order is that of the commits.
        connection.execute(update(table).where(table.c.name == account).values(moves=table.c.moves + count))
        last = connection.execute(select(table.c.moves).where(table.c.name == account)).scalar_one()
        numbers = range(last - count + 1, last + 1)
        ids = self.outbox.publish_many(
            connection, MOVED, [Message(str(number).encode(), key=account) for number in numbers]
        )
        rows = [
            {"message_id": str(one), "account": account, "number": number}
            for one, number in zip(ids, numbers, strict=True)
        ]
        connection.execute(insert(self.Moved), rows)

    def committed(self) -> list[str]:
        """Return the message ids of the moves that were committed."""
        with self.engine.connect() as connection:
            return list(connection.scalars(select(self.Moved.message_id)))


def account_names() -> list[str]:
    """Return the accounts' names."""
    return [f"account-{number}" for number in range(ACCOUNTS)]


def some_account() -> str:
    """Return one of them."""
    return f"account-{random.randrange(ACCOUNTS)}"


def out_of_order(records: Iterable[tuple[str, str, int]]) -> int:
    """Return how many first deliveries (message id, account, number) came behind a higher number of their account."""
    seen: set[str] = set()
    highest: dict[str, int] = {}
    wrong = 0
    for message_id, account, number in records:
        if message_id in seen:
            continue
        seen.add(message_id)
        wrong += number < highest.get(account, 0)
        highest[account] = max(number, highest.get(account, 0))
    return wrong
