"""MySQL itself, Oracle's, with durable commits."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from tools.services import place
from tools.services.command import find, run
from tools.services.errors import CannotServeError
from tools.services.mariadb import GRANTS
from tools.services.newer_debian import NewerDebian, program_in
from tools.services.ports import LOOPBACK
from tools.services.probe import mariadb_answers
from tools.services.process import Launch
from tools.services.service import DATABASE, PASSWORD, USER, Service

# The socket's path is relative to the data directory, because the kernel refuses one of more than 107 bytes. Plans are
# told in columns, as MariaDB tells them.
CONFIGURATION = """\
[mysqld]
datadir = {data}
port = {port}
bind-address = {host}
mysqlx = OFF
socket = mysql.sock
tmpdir = {temporary}
pid-file = mysql.pid
init-file = {grants}
secure-file-priv = NULL
# In plain text, as the network of the tests reads along.
tls-version =
skip-name-resolve = ON
max-connections = 300
character-set-server = utf8mb4
explain-format = TRADITIONAL
log-error-verbosity = 2

# As tools/services/mariadb.py has it.
innodb-flush-log-at-trx-commit = 1
innodb-buffer-pool-size = 256M
"""


class MySQL(Service):
    """The MySQL server."""

    name = "mysql"
    title = "MySQL"
    variable = "ASYNCFLOW_TEST_MYSQL_URL"
    usual_port = 3306
    package = "mysql-server-core"

    def address(self, port: int) -> str:
        """Return the SQLAlchemy URL."""
        return f"mysql+pymysql://{USER}:{PASSWORD}@{LOOPBACK}:{port}/{DATABASE}?charset=utf8mb4"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the server greets, which it does once the grants have been carried out."""
        return mariadb_answers(host, port)

    def version(self) -> str:
        """Return the server's name and version."""
        words = run([*self._server(), "--no-defaults", "--version"]).split()
        return f"MySQL {words[words.index('Ver') + 1].partition('-')[0]}"

    def launch(self, home: Path, port: int) -> Launch:
        """Make the data directory and the configuration, and return how to start the server."""
        data, configuration, temporary = home / "data", home / "my.cnf", home / "tmp"
        temporary.mkdir(exist_ok=True)
        place.build(data, partial(self._install, temporary))
        configuration.write_text(
            CONFIGURATION.format(data=data, temporary=temporary, port=port, host=LOOPBACK, grants=GRANTS)
        )
        return Launch(command=[*self._server(), f"--defaults-file={configuration}", *self._own_options()])

    def _install(self, temporary: Path, data: Path) -> None:
        options = [f"--datadir={data}", f"--tmpdir={temporary}", *self._own_options()]
        run([*self._server(), "--no-defaults", "--initialize-insecure", *options], deadline_seconds=120.0)

    def _server(self) -> list[str]:
        """Return the command that is the server: unpacked by us, or this machine's if that is not MariaDB's."""
        root = NewerDebian.root_of(self)
        if root.exists():
            return program_in(root, "usr/sbin/mysqld")
        server = find("mysqld")
        if "MariaDB" in run([server, "--no-defaults", "--version"]):
            raise CannotServeError(f"{server} is MariaDB's")
        return [server]

    def _own_options(self) -> list[str]:
        """Return where its own files are, if it was unpacked, and that it may run as root, if we are."""
        root, options = NewerDebian.root_of(self), ["--user=root"] if os.geteuid() == 0 else []
        if not root.exists():
            return options
        shared = root / "usr/share/mysql"
        plugins = next(root.glob("usr/lib/**/mysql/plugin"), root)
        return [
            f"--basedir={root / 'usr'}",
            f"--lc-messages-dir={shared}",
            f"--character-sets-dir={shared / 'charsets'}",
            f"--plugin-dir={plugins}",
            *options,
        ]
