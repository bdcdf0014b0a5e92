"""What a publish adds to a business transaction, beside the same two inserts by hand.

The rival writes the same rows into the same table.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from time import perf_counter
from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, insert
from sqlalchemy.orm import Session, registry

from asyncflow import Message
from benchmarks.figure import Figure, Goal, shorter
from benchmarks.ground import TASK_TYPE, Ground, mariadb_ground, payload
from benchmarks.plan import Plan
from benchmarks.rivals.inserts_by_hand import InsertByHand

_BULK = 1000
_SINGLE = Goal(text="<= 1.10 of its time", least_ratio=1 / 1.10)
_MANY = Goal(text="<= 1.05 of its time", least_ratio=1 / 1.05)
Work = Callable[[int], None]


def enqueue(plan: Plan) -> list[Figure]:
    """Measure a Connection, a Session and a bulk of 1,000, a third of the time each."""
    with mariadb_ground() as ground:
        shop = _Shop(ground)
        return [
            _beside(shop.in_session, shop.in_session_by_hand, "Session", _SINGLE, 50, plan),
            _beside(shop.in_bulk, shop.in_bulk_by_hand, "bulk of 1,000", _MANY, 1, plan),
            _beside(shop.on_connection, shop.on_connection_by_hand, "Connection", _SINGLE, 50, plan),
        ]


def _beside(ours: Work, by_hand: Work, name: str, goal: Goal, portion: int, plan: Plan) -> Figure:
    numbers = count()

    def timed(work: Work) -> Callable[[], float]:
        def side() -> float:
            began = perf_counter()
            for _ in range(portion):
                work(next(numbers))
            return (perf_counter() - began) / portion * 1000

        return side

    sides = {"ours": timed(ours), "by hand": timed(by_hand)}
    for side in sides.values():
        side()
    found = plan.part(1 / 3).alternate(sides, least=10)
    return shorter(
        name,
        found["ours"],
        "the same two inserts by hand",
        found["by hand"],
        unit="ms",
        goal=goal,
        where="the unit of work's second mapper, in a Session; elsewhere the commit",
    )


class _Shop:
    """Hold a business table beside the outbox, and write into both."""

    def __init__(self, ground: Ground) -> None:
        class User:
            def __init__(self, **values: Any) -> None:
                for name, value in values.items():
                    setattr(self, name, value)

        users = Table("users", MetaData(), *_user_columns())
        users.create(ground.engine)
        registry().map_imperatively(User, users)
        self._user = User
        self._engine = ground.engine
        self._outbox = ground.outbox
        self._payload = payload(300)
        self._insert_user = insert(users)
        self._by_hand = InsertByHand(ground.table, self._payload)

    def on_connection(self, number: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(self._insert_user, _user(number))
            self._outbox.publish(connection, TASK_TYPE, self._payload, key=f"A{number}")

    def on_connection_by_hand(self, number: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(self._insert_user, _user(number))
            connection.execute(self._by_hand.statement, self._by_hand.row(number))

    def in_session(self, number: int) -> None:
        with Session(self._engine) as session, session.begin():
            session.add(self._user(**_user(number)))
            self._outbox.publish(session, TASK_TYPE, self._payload, key=f"A{number}")

    def in_session_by_hand(self, number: int) -> None:
        with Session(self._engine) as session, session.begin():
            session.add(self._user(**_user(number)))
            session.execute(self._by_hand.statement, self._by_hand.row(number))

    def in_bulk(self, _: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(self._insert_user, [_user(number) for number in range(_BULK)])
            messages = [Message(self._payload, key=f"A{number}") for number in range(_BULK)]
            self._outbox.publish_many(connection, TASK_TYPE, messages)

    def in_bulk_by_hand(self, _: int) -> None:
        with self._engine.begin() as connection:
            connection.execute(self._insert_user, [_user(number) for number in range(_BULK)])
            connection.execute(self._by_hand.statement, [self._by_hand.row(number) for number in range(_BULK)])


def _user(number: int) -> dict[str, Any]:
    return {"account_no": f"A{number}", "name": "x"}


def _user_columns() -> list[Column[Any]]:
    return [Column("id", Integer, primary_key=True), Column("account_no", String(40)), Column("name", String(100))]
