"""A scheduler may be killed at any instruction: every committed order is delivered, and nothing else."""

from __future__ import annotations

import random

import pytest

from asyncflow import Status
from tests.chaos.crash_run import CrashRun
from tests.chaos.findings import Tell
from tests.chaos.fixtures import StartRun, on_mariadb, on_servers, on_servers_and_clients, with_each_client
from tests.chaos.oracle import Verdict
from tests.chaos.process import KILLED, ProcessUnderTest
from tests.chaos.publishers import AFTER_ACKNOWLEDGEMENT, BEFORE_PUBLISH
from tests.chaos.shop import Shop


@on_mariadb
@with_each_client
def test_a_scheduler_killed_at_random_points_under_load_loses_no_order(
    crash_run: StartRun, shop: Shop, client: str, finding: Tell
) -> None:
    run = crash_run(client)
    _kill_at_random(run, rounds=6)  # with each client
    _expect_all_delivered(run, shop, finding)


@pytest.mark.long
@pytest.mark.timeout(900)
@on_servers
@with_each_client
def test_a_scheduler_that_deletes_and_is_killed_at_50_random_points_under_load_loses_no_order(
    crash_run: StartRun, shop: Shop, client: str, finding: Tell
) -> None:
    run = crash_run(client, on_success="delete")
    _kill_at_random(run, rounds=50)
    _expect_all_delivered(run, shop, finding)


@on_servers_and_clients
def test_orders_whose_scheduler_died_between_their_commit_and_their_publish_are_delivered_once(
    crash_run: StartRun, shop: Shop, client: str, finding: Tell
) -> None:
    run = crash_run(client)
    _kill_at_point(run, BEFORE_PUBLISH)
    assert _expect_all_delivered(run, shop, finding).duplicates <= run.unanswered()


@on_servers_and_clients
@pytest.mark.parametrize("on_success", ["keep", "delete"])
def test_orders_whose_scheduler_died_between_publish_and_settle_come_again_and_no_others_do(
    crash_run: StartRun, shop: Shop, client: str, on_success: str, finding: Tell
) -> None:
    run = crash_run(client, on_success=on_success)
    acknowledged = _kill_at_point(run, AFTER_ACKNOWLEDGEMENT)
    duplicates = _expect_all_delivered(run, shop, finding).duplicates
    assert acknowledged <= duplicates <= acknowledged + run.unanswered()


def _kill_at_random(run: CrashRun, *, rounds: int) -> None:
    """Kill one scheduler after the other while orders are written; the last one lives."""
    chance = random.Random()
    writers = run.start_writers()
    for _ in range(rounds):
        run.kill_at_random(run.start_scheduler(), chance)
    run.start_scheduler()
    _dismiss(writers)
    run.settle_all()


def _kill_at_point(run: CrashRun, point: str) -> int:
    """Let schedulers die at the point, on their first and their third batch; return how many rows they held."""
    writers = run.start_writers()
    for batch in (1, 3):
        scheduler = run.start_scheduler(die_at=point, die_on=batch)
        assert scheduler.wait_for_end() == KILLED
        assert scheduler.events[-1]["point"] == point
        run.note_kill(scheduler)
    run.start_scheduler()
    _dismiss(writers)
    run.settle_all()
    return sum(event["records"] for scheduler in run.schedulers for event in scheduler.of("dying"))


def _dismiss(writers: ProcessUnderTest) -> None:
    assert writers.dismiss() == 0
    assert not writers.of("broke")
    (wrote,) = writers.of("wrote")
    assert wrote["roll_back"] > 0
    assert wrote["roll_back_savepoint"] > 0
    assert "cut_off" not in wrote


def _expect_all_delivered(run: CrashRun, shop: Shop, finding: Tell) -> Verdict:
    verdict = run.verdict()
    finding(verdict)
    finding(f"  died after: {run.kill_points()}; duplicates allowed: {run.most_duplicates()}")
    finding(verdict.as_json())
    assert verdict.committed > 0
    assert verdict.is_clean
    assert verdict.duplicates <= run.most_duplicates()
    assert shop.count(Status.FAILED) == 0
    return verdict
