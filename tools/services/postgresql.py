"""PostgreSQL, with durable commits."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

from tools.services import place
from tools.services.command import account_exists, find, run
from tools.services.ports import LOOPBACK
from tools.services.probe import postgresql_answers
from tools.services.process import Launch, is_running
from tools.services.service import DATABASE, PASSWORD, USER, Service

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    # A commit that was acknowledged is on disk: tests kill the server, and benchmarks pay for the flush.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}


class PostgreSQL(Service):
    """The PostgreSQL server."""

    name = "postgresql"
    title = "PostgreSQL"
    variable = "ASYNCFLOW_TEST_POSTGRESQL_URL"
    usual_port = 5432
    package = "postgresql"

    @property
    def account(self) -> str | None:
        """Return an account without privileges where we are root, as whom PostgreSQL refuses to run."""
        if os.geteuid() != 0:
            return None
        return next(filter(account_exists, ("postgres", "nobody")), None)

    def address(self, port: int) -> str:
        """Return the SQLAlchemy URL."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@{LOOPBACK}:{port}/{DATABASE}"

    def answers(self, host: str, port: int) -> bool:
        """Tell whether the server lets clients log in."""
        return postgresql_answers(host, port)

    def version(self) -> str:
        """Return the server's name and version."""
        told = run([_program("postgres"), "--version"])
        number = re.search(r"\d+(\.\d+)*", told)
        return f"PostgreSQL {number[0] if number else told}"

    def launch(self, home: Path, port: int) -> Launch:
        """Make the data directory with its user and its database, and return how to start the server."""
        server = _program("postgres")
        place.build(home / "data", self._initialize)
        _forget_the_dead(home / "data" / "postmaster.pid")
        settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(port)}.items()]
        command = [server, "-D", str(home / "data"), *settings]
        # The fast shutdown: SIGTERM would wait for every client to leave.
        return Launch(command=command, account=self.account, stop_signal=signal.SIGINT)

    def _initialize(self, data: Path) -> None:
        """Make the data directory, its superuser and its database."""
        password = data.with_name("password")
        password.write_text(PASSWORD)
        if self.account:
            shutil.chown(password, self.account)
        options = [f"--username={USER}", f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8"]
        run([_program("initdb"), "-D", str(data), *options, "--no-locale"], account=self.account)
        # The server's single-user mode needs neither a port nor a client program.
        single = [_program("postgres"), "--single", "-D", str(data), "postgres"]
        run(single, words=f"CREATE DATABASE {DATABASE}", account=self.account)


def _forget_the_dead(lock: Path) -> None:
    """Delete the lock file of a server that was killed and is still a zombie.

    PostgreSQL takes a zombie for a running server and would not start; where the first process of a container
    reaps nobody, it would never start again.
    """
    if lock.exists() and not is_running(int(lock.read_text().split()[0])):
        lock.unlink()


def _program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, the newest where Debian keeps several versions."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    return find(name, places=versions)


def _version(directory: Path) -> float:
    """Return the version in `/usr/lib/postgresql/VERSION/bin`."""
    number = re.fullmatch(r"\d+(\.\d+)?", directory.parent.name)
    return float(number[0]) if number else 0.0
