"""PgBouncer before PostgreSQL: each transaction may be given another session of the server."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from tools.services.command import account_exists, find, run
from tools.services.current import current
from tools.services.errors import CannotServeError
from tools.services.ports import LOOPBACK
from tools.services.postgresql import PostgreSQL
from tools.services.probe import postgresql_answers
from tools.services.process import Launch
from tools.services.redis import LIBRARIES
from tools.services.service import DATABASE, PASSWORD, USER, Service
from tools.services.unpacked import root_of

SETTINGS = {
    "listen_addr": LOOPBACK,
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    # Few, of each database: whoever comes back is given another one.
    "default_pool_size": "3",
    "max_client_conn": "400",
}


class PgBouncer(Service):
    """The pooler, in transaction mode."""

    name = "pgbouncer"
    title = "PgBouncer"
    variable = "ASYNCFLOW_TEST_PGBOUNCER_URL"
    usual_port = 6432
    package = "pgbouncer"
    needs = (PostgreSQL.name,)

    @property
    def account(self) -> str | None:
        """Return an account without privileges where we are root, as whom it refuses to run."""
        if os.geteuid() != 0:
            return None
        return next(filter(account_exists, ("postgres", "nobody")), None)

    def address(self, port: int) -> str:
        """Return the SQLAlchemy URL."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@{LOOPBACK}:{port}/{DATABASE}"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether it lets clients log in."""
        return postgresql_answers(host, port)

    def version(self) -> str:
        """Return the program's name and version."""
        found = re.search(r"PgBouncer ([\d.]+)", run([*self._with_libraries(), self._program(), "--version"]))
        return f"PgBouncer {found[1] if found else 'of an unknown version'}"

    def launch(self, home: Path, port: int) -> Launch:
        """Write the configuration, and return how to start the program before the PostgreSQL that is up."""
        server = current(PostgreSQL())
        if server is None:
            raise CannotServeError("PgBouncer stands before PostgreSQL, which is not up")
        behind = urlsplit(server.address)
        users, configuration = home / "users", home / "pgbouncer.ini"
        users.write_text(f'"{behind.username}" "{behind.password}"\n')
        settings = {**SETTINGS, "listen_port": str(port), "auth_file": str(users)}
        lines = [f"{name} = {value}" for name, value in settings.items()]
        database = f"[databases]\n* = host={behind.hostname} port={behind.port}\n"
        configuration.write_text(f"{database}[pgbouncer]\n" + "\n".join(lines) + "\n")
        account = self.account
        if account is not None:
            for file in (users, configuration):
                shutil.chown(file, account)
        return Launch(command=[*self._with_libraries(), self._program(), str(configuration)], account=account)

    def _program(self) -> str:
        return find("pgbouncer", places=[root_of(self) / "usr/sbin"])

    def _with_libraries(self) -> list[str]:
        folder = root_of(self) / LIBRARIES
        return ["env", f"LD_LIBRARY_PATH={folder}"] if folder.exists() else []
