"""A backup runs beside the schedulers: one that reads along, and one that keeps all writers out meanwhile."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sqlalchemy import URL, text

from tests.chaos.cluster_run import StartClusterRun
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long, on_mariadb, on_servers
from tests.chaos.loads import begin, end, watch
from tools.services.command import find


@on_servers
@in_short_and_long
def test_a_dump_beside_the_load_holds_the_committed_tasks_and_disturbs_nothing(
    form: str, cluster_run: StartClusterRun, finding: Tell, tmp_path: Path
) -> None:
    run = cluster_run(lease_seconds=7.0)
    begin(run)
    for number in range(5 if form == "long" else 1):
        watch(run, 2)
        dump(run.bank.engine.url, tmp_path / f"{number}.sql")
        assert run.bank.outbox.tasks.name in (tmp_path / f"{number}.sql").read_text(errors="replace")
    assert end(run, finding).is_clean


@on_mariadb
@in_short_and_long
def test_a_backup_that_locks_all_tables_past_the_lease_delays_and_harms_nothing(
    form: str, cluster_run: StartClusterRun, finding: Tell
) -> None:
    run = cluster_run(lease_seconds=1.0)
    begin(run)
    tables = ", ".join(f"{table.name} READ" for table in run.bank.metadata.sorted_tables)
    for _ in range(4 if form == "long" else 1):
        watch(run, 2)
        with run.bank.engine.connect() as connection:
            # What FLUSH TABLES WITH READ LOCK does to all databases of a server.
            connection.execute(text(f"LOCK TABLES {tables}"))
            watch(run, 15 if form == "long" else 5)
            connection.execute(text("UNLOCK TABLES"))
    assert end(run, finding).is_clean


def dump(url: URL, target: Path) -> None:
    """Write the whole database to a file, as of one moment."""
    assert url.database is not None
    address = ["--host", url.host or "", "--port", str(url.port)]
    if url.get_backend_name() == "postgresql":
        command = [find("pg_dump"), *address, "--username", url.username or "", url.database]
        secret = {"PGPASSWORD": str(url.password)}
    else:
        command = [find("mariadb-dump"), *address, "--user", url.username or "", "--single-transaction", url.database]
        secret = {"MYSQL_PWD": str(url.password)}
    with target.open("wb") as file:
        subprocess.run(command, stdout=file, env={**os.environ, **secret}, check=True, timeout=120)
