"""The tables of the three services, as an auditor reads them."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Engine, MetaData, Select, func, select

from asyncflow import Status
from asyncflow.outbox import task_table
from examples.registration_demo import coupon, points
from examples.registration_demo.database import open_engine
from examples.registration_demo.show.databases import Urls
from examples.registration_demo.show.reconciliation import Gifts, Reconciliation, Tasks
from examples.registration_demo.users import User
from examples.registration_demo.voucher import Voucher

TASKS = task_table(MetaData())
MESSAGES, VOUCHERS = "user.registered", "voucher.issue"


class Tally(NamedTuple):
    """Hold counts for the screen, read while everything runs."""

    coupons: int = 0
    grants: int = 0
    absorbed: int = 0  # deliveries that came again, at both services
    users: int = 0
    pending: int = 0
    settled: int = 0
    owed: int = 0  # vouchers that are not issued yet

    @property
    def deliveries(self) -> int:
        """Return how many deliveries the two services took, if each gift took one."""
        return self.coupons + self.grants + self.absorbed


class Books:
    """Read the tables; open from the tables' creation to ``close``."""

    def __init__(self, urls: Urls) -> None:
        self._accounts, self._coupon, self._points = (
            open_engine(urls[service]) for service in ("accounts", "coupon", "points")
        )

    def close(self) -> None:
        """Give the connections back."""
        for engine in (self._accounts, self._coupon, self._points):
            engine.dispose()

    def tally(self) -> Tally:
        """Count what is there now.

        What came out is counted before what went in, so that a gift is never counted ahead of its user, and a
        delivery counted beyond the settled tasks was really on its way before its task was settled.
        """
        coupons, absorbed_coupons = self._row(self._coupon, _count(coupon.Coupon), _count(coupon.Duplicate))
        grants, absorbed_grants = self._row(self._points, _count(points.Grant), _count(points.Duplicate))
        users, pending, settled, waiting, held = self._row(
            self._accounts,
            _count(User),
            _tasks(Status.PENDING),
            _tasks(Status.SUCCESS),
            _tasks(Status.PENDING, VOUCHERS),
            _tasks(Status.PROCESSING, VOUCHERS),
        )
        return Tally(coupons, grants, absorbed_coupons + absorbed_grants, users, pending, settled, waiting + held)

    def reconcile(self, *, expected: int, refused: int, messages: int) -> Reconciliation:
        """Read everything, and compare it with the answers to the registrations and with what the topic holds."""
        users = self._column(self._accounts, select(User.account_no))
        return Reconciliation(
            expected=expected,
            refused=refused,
            users=len(users),
            gifts=(
                self._gifts("coupons", self._coupon, users, coupon.Coupon, coupon.Duplicate),
                self._gifts("points grants", self._points, users, points.Grant, points.Duplicate),
            ),
            vouchers=Gifts.compare("vouchers", users, self._column(self._accounts, select(Voucher.account_no)), 0),
            tasks=self._tasks(),
            messages=messages,
        )

    def _gifts(self, name: str, engine: Engine, users: list[str], gift: Any, duplicate: Any) -> Gifts:
        given_to = self._column(engine, select(gift.account_no))
        (absorbed,) = self._row(engine, _count(duplicate))
        return Gifts.compare(name, users, given_to, absorbed)

    def _tasks(self) -> Tasks:
        retries = select(func.coalesce(func.sum(TASKS.c.retry_count), 0)).where(TASKS.c.task_type == MESSAGES)
        counts = (_tasks(status) for status in (Status.SUCCESS, Status.PENDING, Status.FAILED))
        succeeded, pending, failed, spent = self._row(self._accounts, *counts, retries)
        return Tasks(succeeded=succeeded, pending=pending, failed=failed, retries=spent)

    def _row(self, engine: Engine, *counts: Select[Any]) -> list[int]:
        with engine.connect() as connection:
            row = connection.execute(select(*(count.scalar_subquery() for count in counts))).one()
            return [int(count) for count in row]

    def _column(self, engine: Engine, statement: Select[Any]) -> list[str]:
        with engine.connect() as connection:
            return list(connection.execute(statement).scalars())


def _count(table: Any) -> Select[Any]:
    return select(func.count()).select_from(table)


def _tasks(status: Status, task_type: str = MESSAGES) -> Select[Any]:
    return _count(TASKS).where(TASKS.c.status == int(status), TASKS.c.task_type == task_type)
