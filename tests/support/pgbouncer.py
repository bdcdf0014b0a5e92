"""PgBouncer in transaction mode: each transaction may be given another session of the server."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.support.debian_packages import try_to_install
from tools.services import ports
from tools.services.command import account_exists, find
from tools.services.errors import CannotServeError
from tools.services.probe import postgresql_answers
from tools.services.process import Launch, spawn, wait_until

_SETTINGS = {
    "listen_addr": ports.LOOPBACK,
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    "default_pool_size": "3",
    "max_client_conn": "200",
}


@contextmanager
def pooled(url: URL) -> Iterator[URL]:
    """Give the address of a PgBouncer that stands before the server of ``url``; skips aloud where there is none."""
    program = _program()
    home = Path(tempfile.mkdtemp(prefix="asyncflow-pgbouncer-"))
    port = ports.choose()
    users = home / "users"
    users.write_text(f'"{url.username}" "{url.password}"\n')
    settings = {**_SETTINGS, "listen_port": str(port), "auth_file": str(users)}
    lines = [f"{name} = {value}" for name, value in settings.items()]
    (home / "settings").write_text(
        f"[databases]\n* = host={url.host} port={url.port}\n[pgbouncer]\n" + "\n".join(lines) + "\n"
    )
    account = next(filter(account_exists, ("postgres", "nobody"))) if os.geteuid() == 0 else None
    if account is not None:  # it refuses to be root
        for path in (home, *home.iterdir()):
            shutil.chown(path, account)
    process = spawn(
        Launch(command=[program, str(home / "settings")], account=account), log=home / "log", directory=home
    )
    try:
        assert process is not None, (home / "log").read_text()
        assert wait_until(lambda: postgresql_answers(ports.LOOPBACK, port), 60), (home / "log").read_text()
        yield url.set(host=ports.LOOPBACK, port=port)
    finally:
        if process is not None:
            process.kill()
        shutil.rmtree(home, ignore_errors=True)


def _program() -> str:
    try:
        return find("pgbouncer")
    except CannotServeError:
        try_to_install("pgbouncer")
    try:
        return find("pgbouncer")
    except CannotServeError:
        pytest.skip("PgBouncer is not here: `apt-get install pgbouncer` brings it")
