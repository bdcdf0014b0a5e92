"""Connections are killed by the hundred under load, those of schedulers and of writers alike."""

from __future__ import annotations

import time

from tests.chaos.cluster_run import StartClusterRun
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long, on_servers
from tests.chaos.loads import begin, end, end_connections, watch


@on_servers
@in_short_and_long
def test_1000_killed_connections_lose_nothing_and_keep_order(
    form: str, cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = cluster_run()
    begin(run)
    wanted, killed = (1000 if form == "long" else 40), 0
    until = time.monotonic() + 300
    while killed < wanted and time.monotonic() < until:
        killed += end_connections(run.bank.engine)
        watch(run, 0.4)
    finding(f"  {killed} connections were killed")
    assert killed >= wanted
    assert end(run, finding).is_clean
