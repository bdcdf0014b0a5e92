"""The network between schedulers and their database resets, stalls, delays and swallows, and no message is harmed."""

from __future__ import annotations

import random
import time

from tests.chaos.cluster_run import ClusterRun, StartClusterRun
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long, on_servers
from tests.chaos.loads import begin, end, watch
from tests.support.proxy import Proxy, proxy_to

SECONDS_TO_MOVE_AGAIN = 120.0  # on a machine that does much else; what is promised, the integration tests measure


@on_servers
@in_short_and_long
def test_a_network_that_fails_in_every_way_loses_nothing_and_keeps_order(
    form: str, cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = cluster_run()
    rounds = 8 if form == "long" else 1
    with proxy_to(run.bank.engine.url) as (proxy, url):
        begin(run, 2, url)
        troubles = [stall, reset, lose_answers, come_late, refuse, lose_answers_in_silence]
        for _ in range(rounds):
            random.shuffle(troubles)
            for trouble in troubles:
                trouble(proxy, run)
                await_progress(run, trouble.__name__)
        verdict = end(run, finding)
        finding(f"  {proxy.commits} commits went by, the answers of {len(proxy.lost)} were lost")
    assert proxy.lost
    assert verdict.is_clean


@on_servers
@in_short_and_long
def test_the_answer_of_each_commit_in_turn_is_lost_and_nothing_stands(
    form: str, cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = cluster_run()
    with proxy_to(run.bank.engine.url) as (proxy, url):
        begin(run, 2, url)
        start = proxy.commits
        most = 400 if form == "long" else 25
        # One in three, so that what is done again after a loss can be lost as well.
        proxy.lose_answers(lambda number: number > start and (number - start) % 3 == 0 and len(proxy.lost) < most)
        until = time.monotonic() + 300
        while len(proxy.lost) < most and time.monotonic() < until:
            watch(run, 0.5)
        finding(f"  the answers of {len(proxy.lost)} of {proxy.commits - start} commits were lost")
        assert len(proxy.lost) >= most
        verdict = end(run, finding)
    assert verdict.is_clean


def stall(proxy: Proxy, run: ClusterRun) -> None:
    """Be silent for longer than a lease."""
    proxy.stall()
    watch(run, 3)
    proxy.resume()


def reset(proxy: Proxy, run: ClusterRun) -> None:
    """Reset everything, some times."""
    for _ in range(5):
        proxy.reset()
        watch(run, 0.3)


def lose_answers(proxy: Proxy, run: ClusterRun) -> None:
    """Swallow the answers of some commits."""
    proxy.lose_answers(lambda number: number % 7 == 0)
    watch(run, 3)
    proxy.lose_answers(lambda _: False)


def lose_answers_in_silence(proxy: Proxy, run: ClusterRun) -> None:
    """Swallow them and never tell that the connection is dead."""
    proxy.lose_answers(lambda number: number % 7 == 0, silent=True)
    watch(run, 3)
    proxy.lose_answers(lambda _: False)


def come_late(proxy: Proxy, run: ClusterRun) -> None:
    """Let answers take long."""
    proxy.delay(0.15)
    watch(run, 3)
    proxy.delay(0)


def refuse(proxy: Proxy, run: ClusterRun) -> None:
    """Be down."""
    proxy.refuse()
    proxy.reset()
    watch(run, 1)
    proxy.refuse(False)


def await_progress(run: ClusterRun, trouble: str) -> None:
    """Wait until each scheduler has settled something more, or owns nothing that it could settle."""
    began = time.monotonic()
    while not any(event["at"] > began for scheduler in run.schedulers for event in scheduler.of("settled")):
        assert time.monotonic() - began < SECONDS_TO_MOVE_AGAIN, f"nothing moves after {trouble}"
        watch(run, 0.2)
