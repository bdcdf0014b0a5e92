"""The banking process under test: threads that move accounts under a constant load, and count what reaches them."""

from __future__ import annotations

import random
import threading
from collections import Counter

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from tests.chaos.bank import Bank, some_account
from tests.chaos.plan import Plan
from tests.chaos.telling import tell, wait_for_parent_to_leave

_MOST_MOVES = 6


class Bankers:
    """Run transactions until told to stop."""

    def __init__(self, bank: Bank, plan: Plan) -> None:
        self.done: Counter[str] = Counter()
        self.errors: set[str] = set()
        self.stopping = threading.Event()
        self._bank = bank
        self._plan = plan
        self._lock = threading.Lock()

    def run(self) -> None:
        """Be one thread's work."""
        while not self.stopping.wait(self._plan.breath_seconds * random.uniform(0.5, 1.5)):
            count = random.randint(1, _MOST_MOVES)
            try:
                with self._bank.engine.begin() as connection:
                    self._bank.move(connection, some_account(), count)
                self._note("moves", count)
            except DBAPIError as error:
                self._note("errors", 1)
                self.errors.add(str(error.orig)[:100])

    def _note(self, kind: str, count: int) -> None:
        with self._lock:
            self.done[kind] += count


def main() -> None:
    """Move accounts until the parent closes our stdin, then tell how many moves and errors there were."""
    plan = Plan.from_environment()
    bankers = Bankers(Bank(create_engine(plan.database_url, pool_size=plan.threads), plan.topic), plan)
    threads = [threading.Thread(target=bankers.run) for _ in range(plan.threads)]
    for thread in threads:
        thread.start()
    tell("started")
    wait_for_parent_to_leave()
    bankers.stopping.set()
    for thread in threads:
        thread.join()
    tell("wrote", moves=bankers.done["moves"], errors=bankers.done["errors"], texts=sorted(bankers.errors)[:3])


if __name__ == "__main__":
    main()
