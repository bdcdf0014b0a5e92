"""coupon: issues a coupon to each new user, in a database of its own."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from asyncflow import Inbox
from examples.registration_demo.consumer import Delivery, consume
from examples.registration_demo.database import open_engine
from examples.registration_demo.settings import Settings


class Base(DeclarativeBase):
    """Hold the tables of `coupon`, the inbox among them."""


class Coupon(Base):
    """Be one coupon. Nothing but the inbox keeps an account from having two: there is no unique key on purpose."""

    __tablename__ = "coupon"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_no: Mapped[str] = mapped_column(String(40))
    percent_off: Mapped[int]


class Duplicate(Base):
    """Be one delivery that the inbox absorbed."""

    __tablename__ = "duplicate"

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[str] = mapped_column(String(36))


inbox = Inbox(Base.metadata)


def take(session: Session, delivery: Delivery) -> None:
    """Issue the coupon, unless this message has brought one already."""
    if inbox.process_once(session, delivery.message_id, consumer="coupon"):
        session.add(Coupon(account_no=delivery.body["account_no"], percent_off=10))
    else:
        session.add(Duplicate(message_id=delivery.message_id.decode()))


def main() -> None:
    """Run the service until SIGTERM."""
    settings = Settings.of("coupon")
    engine = open_engine(settings.database_url)
    Base.metadata.create_all(engine)
    consume(settings, engine, take)


if __name__ == "__main__":
    main()
