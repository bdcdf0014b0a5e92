"""The writing process under test: several threads that place orders, and take some of them back."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tests.chaos.plan import Plan
from tests.chaos.shop import Shop
from tests.chaos.telling import die, tell, wait_for_parent_to_leave

THREADS = 4
BREATH_SECONDS = 0.01
AFTER_FLUSH = "after flush"
AFTER_COMMIT = "after commit"


class Writers:
    """Run transactions of several kinds until told to stop; die at the planned point of the planned one."""

    def __init__(self, shop: Shop, plan: Plan) -> None:
        self.done: Counter[str] = Counter()
        self.stopping = threading.Event()
        self._shop = shop
        self._plan = plan
        self._begun = 0
        self._lock = threading.Lock()

    def run(self) -> None:
        """Be one thread's work."""
        kinds = (self._commit, self._commit, self._commit_in_bulk, self._roll_back, self._roll_back_savepoint)
        while not self.stopping.wait(BREATH_SECONDS) and (number := self._next()):
            kind = self._commit if number == self._plan.die_on else random.choice(kinds)
            try:
                kind(number)
                outcome = kind.__name__.strip("_")
            except OperationalError:  # the database went away: whether it had committed, its tables tell
                outcome = "cut_off"
            with self._lock:
                self.done[outcome] += 1

    def _next(self) -> int:
        """Return the number of the next transaction, 0 when there were enough."""
        with self._lock:
            self._begun += 1
            return self._begun if self._begun <= self._plan.most_transactions else 0

    def _commit(self, number: int) -> None:
        with Session(self._shop.engine) as session:
            ids = self._shop.place(session, random.randint(1, 5))
            session.flush()
            self._die_if(AFTER_FLUSH, number, ids)
            session.commit()
            self._die_if(AFTER_COMMIT, number, ids)

    def _commit_in_bulk(self, number: int) -> None:
        with self._shop.engine.begin() as connection:
            self._shop.place_in_bulk(connection, random.randint(2, 10))

    def _roll_back(self, number: int) -> None:
        with Session(self._shop.engine) as session:
            self._shop.place(session, random.randint(1, 5))
            session.flush()
            session.rollback()

    def _roll_back_savepoint(self, number: int) -> None:
        with Session(self._shop.engine) as session, session.begin():
            self._shop.place(session)
            savepoint = session.begin_nested()
            self._shop.place(session, random.randint(1, 3))
            session.flush()
            savepoint.rollback()

    def _die_if(self, point: str, number: int, ids: list[str]) -> None:
        if point == self._plan.die_at and number == self._plan.die_on:
            tell("dying", point=point, ids=ids)
            die()


def main() -> None:
    """Write until the parent closes our stdin, then tell how many transactions of each kind there were."""
    plan = Plan.from_environment()
    writers = Writers(Shop(create_engine(plan.database_url), plan.topic), plan)
    threads = [threading.Thread(target=_watched(writers.run)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    tell("started")
    wait_for_parent_to_leave()
    writers.stopping.set()
    for thread in threads:
        thread.join()
    tell("wrote", **writers.done)


def _watched(work: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        except BaseException as error:
            tell("broke", error=repr(error))
            raise

    return run


if __name__ == "__main__":
    main()
