"""What was started: one record for each service, in `.services/services.json`."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from tools.services import place
from tools.services.process import Process


@dataclass(frozen=True, kw_only=True)
class Record:
    """A service as it was brought up.

    `provider` is who serves it, `address` what a client connects to, `note` a line for people, `home` the
    directory of its data (empty if they are not ours), `process` the program that we started (None if it is
    not ours or is down).
    """

    service: str
    provider: str
    address: str
    port: int
    note: str
    home: str = ""
    is_real: bool = True
    is_up: bool = True
    process: Process | None = None

    @property
    def is_alive(self) -> bool:
        """Tell whether the service was left up and its program, if it is ours, still runs."""
        return self.is_up and (self.process is None or self.process.is_alive)


def records() -> dict[str, Record]:
    """Return every record by its service's name; none of them if the checkout is a copy of another.

    A copied state names the processes of the other checkout, which are not ours to end.
    """
    try:
        stored = json.loads((place.STATE / "services.json").read_text())
    except FileNotFoundError:
        return {}
    if stored.get("checkout") != str(place.CHECKOUT):
        return {}
    return {name: _record(fields) for name, fields in stored["services"].items()}


def put(record: Record) -> Record:
    """Write a record in place of the service's former one, and return it."""
    with locked("services"):
        _write({**records(), record.service: record})
    return record


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of that name, against other threads and other processes."""
    place.STATE.mkdir(exist_ok=True)
    with (place.STATE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(everything: dict[str, Record]) -> None:
    """Replace the file in one step, so that a reader needs no lock."""
    fresh = place.STATE / "services.json.new"
    services = {name: asdict(record) for name, record in everything.items()}
    fresh.write_text(json.dumps({"checkout": str(place.CHECKOUT), "services": services}, indent=2) + "\n")
    fresh.replace(place.STATE / "services.json")


def _record(fields: dict[str, Any]) -> Record:
    """Return a record from its stored fields."""
    process = fields.pop("process")
    return Record(**fields, process=Process(**process) if process else None)
