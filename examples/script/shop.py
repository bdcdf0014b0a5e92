# shop.py
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from asyncflow import Outbox, Scheduler


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    account_no: Mapped[str] = mapped_column(primary_key=True)
    coupons: Mapped[int] = mapped_column(default=0)


outbox = Outbox(Base.metadata)


@outbox.task(transactional=True)
def issue_coupon(session: Session, account_no: str) -> None:
    session.get_one(User, account_no).coupons = User.coupons + 1


if __name__ == "__main__":
    engine = create_engine("sqlite:///shop.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.merge(User(account_no="A1001"))
        issue_coupon.enqueue(session, account_no="A1001")
    print(Scheduler(engine, outbox, publishers={}).drain(raise_errors=True))
