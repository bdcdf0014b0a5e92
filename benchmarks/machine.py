"""What the figures depend on: the machine, the versions, and the settings that make a commit durable."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text

from tools.services import load

_LIBRARIES = (
    "sqlalchemy",
    "pymysql",
    "psycopg",
    "confluent-kafka",
    "kafka-python",
    "orjson",
    "faststream-outbox",
    "asyncpg",
)
_DURABLE_MARIADB = (
    "@@innodb_flush_log_at_trx_commit",
    "@@innodb_doublewrite",
    "@@innodb_buffer_pool_size",
    "@@log_bin",
)
_DURABLE_POSTGRESQL = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers")


def machine() -> dict[str, object]:
    """Return it all, for a JSON file."""
    services = load()
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: _version(name) for name in _LIBRARIES},
        "mariadb": _ask(services.mariadb_url, "SELECT {}", ("version()", *_DURABLE_MARIADB)),
        "postgresql": _ask(services.postgresql_url, "SHOW {}", ("server_version", *_DURABLE_POSTGRESQL)),
        "kafka": services.kafka_note,
    }


def _ask(address: str | None, question: str, names: Sequence[str]) -> dict[str, str]:
    if not address:
        return {}
    engine = create_engine(address, poolclass=NullPool)
    with engine.connect() as connection:
        return {
            name.removeprefix("@@"): str(connection.execute(text(question.format(name))).scalar_one()) for name in names
        }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
