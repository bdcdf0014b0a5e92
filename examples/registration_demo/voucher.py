"""voucher: a coupon that needs no broker. A handler of the scheduler issues it, in the database of `accounts`."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, Session, mapped_column

from examples.registration_demo.users import Base


class Voucher(Base):
    """Be one voucher. Nothing but the handler's transaction keeps an account from having two, or none."""

    __tablename__ = "voucher"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_no: Mapped[str] = mapped_column(String(40))
    amount: Mapped[int]


def issue_voucher(session: Session, account_no: str) -> None:
    """Issue the voucher; the commit of this session settles the task as well, so it happens once."""
    session.add(Voucher(account_no=account_no, amount=5))
