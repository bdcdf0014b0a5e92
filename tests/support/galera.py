"""A cluster of MariaDB's Galera of a test's own: nodes that take writes each, and may be killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from tools.services import ports
from tools.services.command import account_exists, find, group_of, run
from tools.services.errors import CannotServeError
from tools.services.mariadb import GRANTS, MariaDB
from tools.services.process import Launch, Process, spawn, wait_until

_PROVIDERS = ("usr/lib/galera/libgalera_smm.so", "usr/lib64/galera-4/libgalera_smm.so")
_READY = text("SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_ready'")
_LONG = 180.0
_CONFIGURATION = """\
[mariadbd]
datadir = {home}/data
tmpdir = {home}/tmp
socket = {home}/m.sock
pid-file = {home}/m.pid
port = {port}
bind-address = {host}
skip-name-resolve
character-set-server = utf8mb4
binlog-format = ROW
default-storage-engine = InnoDB
innodb-autoinc-lock-mode = 2
innodb-buffer-pool-size = 128M
innodb-flush-log-at-trx-commit = 1
wsrep-on = ON
wsrep-provider = {provider}
wsrep-cluster-name = asyncflow
wsrep-cluster-address = gcomm://{members}
wsrep-node-name = node{number}
wsrep-node-address = {host}:{group_port}
wsrep-provider-options = "gmcast.listen_addr=tcp://{host}:{group_port};ist.recv_addr={host}:{ist_port};gcache.size=32M"
wsrep-sst-method = rsync
wsrep-sst-receive-address = {host}:{sst_port}
"""


class Node:
    """Run one node, as often as it is started; its data, and what it is told, are in a folder of its own."""

    def __init__(self, number: int, home: Path, account: str | None) -> None:
        self.number = number
        self.port, self.group_port, self._ist_port, self._sst_port = (ports.choose() for _ in range(4))
        self._home = home / f"node{number}"
        self._account = account
        self._process: Process | None = None

    @property
    def url(self) -> URL:
        """Return its SQLAlchemy URL."""
        return make_url(MariaDB().address(self.port))

    def make(self, provider: Path, members: Sequence[Node]) -> None:
        """Make its folder, its configuration and the system's tables."""
        (self._home / "tmp").mkdir(parents=True)
        told = _CONFIGURATION.format(
            home=self._home,
            port=self.port,
            host=ports.LOOPBACK,
            provider=provider,
            members=",".join(f"{ports.LOOPBACK}:{member.group_port}" for member in members),
            number=self.number,
            group_port=self.group_port,
            ist_port=self._ist_port,
            sst_port=self._sst_port,
        )
        (self._home / "my.cnf").write_text(told)
        _give(self._home, self._account)
        installer = find("mariadb-install-db", "mysql_install_db")
        options = [f"--datadir={self._home / 'data'}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        run(
            [installer, "--no-defaults", *options, "--skip-name-resolve"], account=self._account, deadline_seconds=_LONG
        )

    def start(self, *options: str) -> None:
        """Start it, the first of a cluster by an option; wait until it takes part."""
        command = [find("mariadbd"), f"--defaults-file={self._home / 'my.cnf'}", *options]
        self._process = spawn(
            Launch(command=command, account=self._account), log=self._home / "log", directory=self._home
        )
        assert self._process is not None, (self._home / "log").read_text()
        assert wait_until(self._is_ready, _LONG), (self._home / "log").read_text()[-3000:]

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.kill()

    def _is_ready(self) -> bool:
        engine = create_engine(self.url, connect_args={"connect_timeout": 5})
        try:
            with engine.connect() as connection:
                return connection.execute(_READY).scalar() == "ON"
        except DBAPIError:
            return False
        finally:
            engine.dispose()


@contextmanager
def galera(count: int = 2) -> Iterator[list[Node]]:
    """Give the nodes of a cluster; skips aloud where there is no MariaDB with Galera."""
    provider = next((Path("/", one) for one in _PROVIDERS if Path("/", one).exists()), None)
    if provider is None:
        pytest.skip("Galera is not here: `apt-get install galera-4 rsync` brings it")
    try:
        find("mariadbd")
        find("rsync")
    except CannotServeError as lacking:
        pytest.skip(str(lacking))
    # What copies a node's data drops root's rights, and has to read them all the same.
    account = next(filter(account_exists, ("mysql", "nobody"))) if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="asyncflow-galera-"))
    nodes = [Node(number, home, account) for number in range(count)]
    _give(home, account)
    try:
        for node in nodes:
            node.make(provider, nodes)
        nodes[0].start("--wsrep-new-cluster", f"--init-file={_grants(home, account)}")
        for node in nodes[1:]:
            node.start()
        yield nodes
    finally:
        for node in nodes:
            node.kill()
        shutil.rmtree(home, ignore_errors=True)


def _grants(home: Path, account: str | None) -> Path:
    """Return what the first node carries out as it starts, where its account can read it."""
    copy = home / "grants.sql"
    shutil.copy(GRANTS, copy)
    _give(home, account)
    return copy


def _give(folder: Path, account: str | None) -> None:
    if account is not None:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, account, group_of(account))
