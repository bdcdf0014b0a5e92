"""MariaDB, with durable commits."""

from __future__ import annotations

import os
from pathlib import Path

from tools.services import place
from tools.services.command import find, run
from tools.services.errors import CannotServeError
from tools.services.ports import LOOPBACK
from tools.services.probe import mariadb_answers
from tools.services.process import Launch
from tools.services.service import DATABASE, PASSWORD, USER, Service

GRANTS = Path(__file__).with_name("mariadb-grants.sql")

# The socket's path is relative to the data directory, because the kernel refuses one of more than 107 bytes.
CONFIGURATION = """\
[mariadbd]
datadir = {data}
port = {port}
bind-address = {host}
socket = mariadb.sock
# A server that starts deletes the temporary tables in its directory, those of another server that shares it as well.
tmpdir = {temporary}
pid-file = mariadb.pid
init-file = {grants}
skip-name-resolve
max-connections = 300
character-set-server = utf8mb4

# A commit that was acknowledged is on disk: tests kill the server, and benchmarks pay for the flush.
innodb-flush-log-at-trx-commit = 1
innodb-doublewrite = ON

# Room for a benchmark's rows, so that it measures neither reads from disk nor waits for checkpoints.
innodb-buffer-pool-size = 512M
innodb-log-file-size = 256M
"""


class MariaDB(Service):
    """The MariaDB server."""

    name = "mariadb"
    title = "MariaDB"
    variable = "ASYNCFLOW_TEST_MARIADB_URL"
    usual_port = 3306
    package = "mariadb-server"

    def address(self, port: int) -> str:
        """Return the SQLAlchemy URL."""
        return f"mysql+pymysql://{USER}:{PASSWORD}@{LOOPBACK}:{port}/{DATABASE}?charset=utf8mb4"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the server greets, which it does once the grants have been carried out."""
        return mariadb_answers(host, port)

    def version(self) -> str:
        """Return the server's name and version."""
        words = _version(_server()).split()
        return f"MariaDB {words[words.index('Ver') + 1].partition('-')[0]}"

    def launch(self, home: Path, port: int) -> Launch:
        """Make the data directory and the configuration, and return how to start the server."""
        server, data, configuration, temporary = _server(), home / "data", home / "my.cnf", home / "tmp"
        place.build(data, _install)
        temporary.mkdir(exist_ok=True)
        configuration.write_text(
            CONFIGURATION.format(data=data, temporary=temporary, port=port, host=LOOPBACK, grants=GRANTS)
        )
        return Launch(command=[server, f"--defaults-file={configuration}", *_as_root()])


def _server() -> str:
    """Return the path of the server; CannotServeError if it is MySQL's, which is set up by other means."""
    server = find("mariadbd", "mysqld")
    if "MariaDB" not in _version(server):
        raise CannotServeError(f"{server} is not MariaDB")
    return server


def _version(server: str) -> str:
    """Return the line in which a server tells its version."""
    return run([server, "--no-defaults", "--version"])


def _install(data: Path) -> None:
    """Make a data directory with the system tables, heeding none of the system's configuration."""
    installer = find("mariadb-install-db", "mysql_install_db")
    options = [f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"]
    options += ["--skip-name-resolve", *_as_root()]  # a container may not know its own name
    run([installer, "--no-defaults", *options])


def _as_root() -> list[str]:
    """Return the option without which the server refuses to run as root.

    As root, and not as the account `mysql`, it can keep its data in a checkout that only root can enter.
    """
    return ["--user=root"] if os.geteuid() == 0 else []
