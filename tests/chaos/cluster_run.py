"""Several schedulers at one bank: started, killed, frozen and restarted while accounts move; and the account of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from tests.chaos.bank import Bank, out_of_order
from tests.chaos.oracle import Verdict, judge
from tests.chaos.plan import Plan
from tests.chaos.process import ProcessUnderTest
from tests.chaos.topics import read_records
from tools.services.process import wait_until

SCHEDULER = ("asyncflow.cli", "run", "tests.chaos.scheduler_process:make")
BANKERS = ("tests.chaos.banking_process",)
_LONG = 120.0


class ClusterRun:
    """Start processes by one plan, and judge the outcome; every process ends with it."""

    def __init__(self, name: str, bank: Bank, plan: Plan) -> None:
        self.bank = bank
        self.schedulers: list[ProcessUnderTest] = []
        self.writers: list[ProcessUnderTest] = []
        self._name = name
        self._plan = plan
        self._processes = ExitStack()

    def close(self) -> None:
        """End every process that still runs."""
        self._processes.close()

    # -- processes ---------------------------------------------------------------------------------------

    def start_scheduler(self, environment: Mapping[str, str] | None = None, **options: Any) -> ProcessUnderTest:
        """Start a scheduler; it counts as one of the cluster until it is ended."""
        return self.start(SCHEDULER, environment, **options)

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
    ) -> ProcessUnderTest:
        """Start ``python -m ARGUMENTS``, in which schedulers run; it is stopped with them."""
        plan = replace(self._plan, **options)
        process = self._processes.enter_context(ProcessUnderTest(arguments, plan, environment))
        self.schedulers.append(process)
        return process

    def start_cluster(self, count: int, **options: Any) -> list[ProcessUnderTest]:
        """Start that many schedulers and wait until each owns its share."""
        started = [self.start_scheduler(**options) for _ in range(count)]
        for scheduler in started:
            scheduler.wait_for(lambda one=scheduler: bool(one.of("started")))  # type: ignore[misc]
        self.await_shares(count)
        return started

    def start_writers(self, processes: int = 1, **options: Any) -> None:
        """Start processes that move accounts."""
        plan = replace(self._plan, **options)
        writers = [self._processes.enter_context(ProcessUnderTest(BANKERS, plan)) for _ in range(processes)]
        for writer in writers:
            writer.wait_for(lambda one=writer: bool(one.of("started")))  # type: ignore[misc]
        self.writers += writers

    def dismiss_writers(self) -> dict[str, Any]:
        """Let the writers finish; return their moves and the errors that reached them."""
        codes = [writer.dismiss() for writer in self.writers]
        assert codes == [0] * len(codes)
        told = [writer.of("wrote")[0] for writer in self.writers]
        return {
            "moves": sum(one["moves"] for one in told),
            "errors": sum(one["errors"] for one in told),
            "texts": [text for one in told for text in one["texts"]],
        }

    # -- what the database tells -------------------------------------------------------------------------

    def owners(self) -> dict[int, str | None]:
        """Return the owner of each shard."""
        shards = self.bank.outbox.shards
        with self.bank.engine.connect() as connection:
            return {row.shard: row.owner for row in connection.execute(select(shards))}

    def await_shares(self, instances: int, seconds: float = 120.0) -> float:
        """Wait until so many instances own all shards, in shares as equal as can be; return how long it took."""
        began = time.monotonic()
        assert wait_until(lambda: self.is_shared(instances), seconds), f"owners: {self._shares()}"
        return time.monotonic() - began

    def seconds_until_owned_by_others(self, owner: str, seconds: float = 120.0) -> float:
        """Wait until every shard has an owner, another than ``owner``; return how long it took."""
        began = time.monotonic()
        assert wait_until(lambda: not {owner, None} & set(self.owners().values()), seconds), f"owners: {self._shares()}"
        return time.monotonic() - began

    def is_shared(self, instances: int) -> bool:
        """Tell whether so many instances own all shards, in shares as equal as can be."""
        shares = self._shares()
        sizes = [count for owner, count in shares.items() if owner is not None]
        return None not in shares and len(sizes) == instances and max(sizes) - min(sizes) <= 1

    def _shares(self) -> dict[str | None, int]:
        shares: dict[str | None, int] = {}
        for owner in self.owners().values():
            shares[owner] = shares.get(owner, 0) + 1
        return shares

    # -- the end -----------------------------------------------------------------------------------------

    def settle_all(self, seconds: float = _LONG) -> None:
        """Wait until no message is unsettled."""
        assert wait_until(lambda: self.bank.unsettled() == 0, seconds), f"{self.bank.unsettled()} are unsettled"

    def stop_all(self) -> None:
        """Stop the schedulers that still run, in good order."""
        codes = [scheduler.stop() for scheduler in self.schedulers if scheduler.ended_at is None]
        assert codes == [0] * len(codes)

    def verdict(self, seconds_to_recover: float = 0.0, address: str | None = None) -> Verdict:
        """Let the oracle compare the moves with the topic, in content and in order."""
        records = read_records(self._plan.topic, address)
        return judge(
            self._name,
            self.bank.committed(),
            [message_id for message_id, _, _ in records],
            seconds_to_recover=seconds_to_recover,
            out_of_order=out_of_order((message_id, key, int(value)) for message_id, key, value in records),
        )


def owner_of(scheduler: ProcessUnderTest) -> str:
    """Return the name under which a scheduler owns shards."""
    owner: str = scheduler.of("started")[0]["owner"]
    return owner


StartClusterRun = Callable[..., ClusterRun]
