"""points: grants points to each new user, in a database of its own."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from asyncflow import Inbox
from examples.registration_demo.consumer import Delivery, consume
from examples.registration_demo.database import open_engine
from examples.registration_demo.settings import Settings

WELCOME_POINTS = 100


class Base(DeclarativeBase):
    """Hold the tables of `points`, the inbox among them."""


class Grant(Base):
    """Be one grant of points; like a coupon, it is kept single by the inbox alone."""

    __tablename__ = "points_grant"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_no: Mapped[str] = mapped_column(String(40))
    points: Mapped[int]


class Duplicate(Base):
    """Be one delivery that the inbox absorbed."""

    __tablename__ = "duplicate"

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(String(36))


inbox = Inbox(Base.metadata)


def take(session: Session, delivery: Delivery) -> None:
    """Grant the points, unless this message has brought them already."""
    if inbox.process_once(session, delivery.message_id, consumer="points"):
        session.add(Grant(account_no=delivery.body["account_no"], points=WELCOME_POINTS))
    else:
        session.add(Duplicate(message_id=delivery.message_id.decode()))


def main() -> None:
    """Run the service until SIGTERM."""
    settings = Settings.of("points")
    engine = open_engine(settings.database_url)
    Base.metadata.create_all(engine)
    consume(settings, engine, take)


if __name__ == "__main__":
    main()
