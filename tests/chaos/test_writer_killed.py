"""A writing process may be killed at any instruction: what it had committed is delivered, and nothing else."""

from __future__ import annotations

from tests.chaos.crash_run import CrashRun
from tests.chaos.findings import Tell
from tests.chaos.fixtures import StartRun, on_servers_and_clients
from tests.chaos.oracle import Verdict
from tests.chaos.process import KILLED
from tests.chaos.shop import Shop
from tests.chaos.topics import read_whole
from tests.chaos.writing_process import AFTER_COMMIT, AFTER_FLUSH


@on_servers_and_clients
def test_orders_whose_writer_died_between_flush_and_commit_are_not_delivered(
    crash_run: StartRun, topic: str, client: str, finding: Tell
) -> None:
    run = crash_run(client)
    flushed = _kill_writers(run, AFTER_FLUSH)
    _expect_clean(run, finding)
    assert not flushed & set(read_whole(topic))


@on_servers_and_clients
def test_orders_whose_writer_died_right_after_their_commit_are_delivered_once(
    crash_run: StartRun, shop: Shop, topic: str, client: str, finding: Tell
) -> None:
    run = crash_run(client)
    committed = _kill_writers(run, AFTER_COMMIT)
    assert _expect_clean(run, finding).duplicates <= run.unanswered()
    assert committed <= set(shop.committed())
    assert committed <= set(read_whole(topic))


def _kill_writers(run: CrashRun, point: str) -> set[str]:
    """Let writers die at the point, on their 5th and their 50th transaction; return the ids they held then.

    The writers that follow take so long to begin that the database has noticed the deaths before they end.
    """
    run.start_scheduler()
    held: set[str] = set()
    for transaction in (5, 50):
        writers = run.start_writers(die_at=point, die_on=transaction)
        assert writers.wait_for_end() == KILLED
        assert writers.events[-1]["point"] == point
        held.update(writers.events[-1]["ids"])
    assert run.start_writers().dismiss() == 0
    run.settle_all()
    assert held
    return held


def _expect_clean(run: CrashRun, finding: Tell) -> Verdict:
    verdict = run.verdict()
    finding(verdict)
    finding(verdict.as_json())
    assert verdict.committed > 0
    assert verdict.is_clean
    return verdict
