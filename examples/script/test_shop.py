# test_shop.py
from sqlalchemy.orm import Session

from asyncflow.testing import drain
from examples.script.shop import User, issue_coupon


def test_a_coupon_is_issued_once(asyncflow_session: Session) -> None:
    asyncflow_session.add(User(account_no="A1001"))
    issue_coupon.enqueue(asyncflow_session, account_no="A1001")
    assert drain(asyncflow_session).done == 1
    assert asyncflow_session.get_one(User, "A1001").coupons == 1
