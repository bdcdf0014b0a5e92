"""The application under test: orders, each written in one transaction with its message."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, Engine, String, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from asyncflow import Message
from tests.chaos.business import Business

ORDER_PLACED = "order.placed"


class Shop(Business):
    """Have a table of orders, each with the id of its message, and an outbox with the type ``order.placed``."""

    def __init__(self, engine: Engine, topic: str) -> None:
        class Base(DeclarativeBase):
            pass

        class Order(Base):
            __tablename__ = "orders"
            message_id: Mapped[str] = mapped_column(String(36), primary_key=True)

        super().__init__(engine, Base.metadata)
        self.Order = Order
        self.outbox.message(ORDER_PLACED, topic=topic)

    def place(self, session: Session, count: int = 1) -> list[str]:
        """Add orders and their messages to the session's transaction; return the messages' ids."""
        ids = [str(self._publish(session, number)) for number in range(count)]
        session.add_all([self.Order(message_id=message_id) for message_id in ids])
        return ids

    def place_in_bulk(self, connection: Connection, count: int) -> list[str]:
        """Insert orders and their messages through Core; return the messages' ids."""
        messages = [Message({"order": number}, key=f"account-{number}") for number in range(count)]
        ids = [str(one) for one in self.outbox.publish_many(connection, ORDER_PLACED, messages)]
        connection.execute(insert(self.Order), [{"message_id": message_id} for message_id in ids])
        return ids

    def committed(self) -> list[str]:
        """Return the message ids of the orders that were committed."""
        with Session(self.engine) as session:
            return list(session.scalars(select(self.Order.message_id)))

    def _publish(self, session: Session, number: int) -> UUID:
        return self.outbox.publish(session, ORDER_PLACED, {"order": number}, key=f"account-{number}")
