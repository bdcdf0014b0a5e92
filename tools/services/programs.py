"""A service run from this machine's programs, as a process of our own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from tools.services import place, ports, state
from tools.services.errors import StartError
from tools.services.ports import LOOPBACK
from tools.services.process import Launch, Process, spawn, wait_until
from tools.services.provider import Provider, Wanted
from tools.services.service import Service
from tools.services.state import Record

REMEDY = "Mend what its log says, or begin anew with `python -m tools.services remove`"


class Programs(Provider):
    """The programs of this machine."""

    name = "programs"

    def serve(self, wanted: Wanted) -> Record:
        """Start the service's program and wait until it answers."""
        service, port = wanted.service, ports.choose(wanted.port)
        home = place.home(service.name, service.account, wanted.home)
        process = begin(service, service.launch(home, port), home)
        record = Record(
            service=service.name,
            provider=Programs.name,
            address=service.address(port),
            port=port,
            note=f"{service.version()}, a program of this machine",
            home=str(home),
            process=process,
        )
        state.put(record)  # before it answers: an interrupted `up` leaves nothing that `down` cannot find
        _await_answer(service, record, process)
        return record

    def stop(self, record: Record) -> None:
        """Shut the program down by the signal that it understands."""
        if record.process:
            record.process.stop()

    def kill(self, record: Record) -> None:
        """Kill the program and its children."""
        if record.process:
            record.process.kill()

    def remove(self, record: Record) -> None:
        """Delete the service's directory."""
        shutil.rmtree(record.home, ignore_errors=True)


def begin(service: Service, launch: Launch, directory: Path) -> Process:
    """Start a service's program in the background."""
    log = place.log_of(service.name)
    process = spawn(launch, log=log, directory=directory)
    if process is None:
        raise StartError(f"{service.title} ended at once", REMEDY, log)
    return process


def _await_answer(service: Service, record: Record, process: Process) -> None:
    """Wait until the service answers; kill it and raise StartError if it does not."""
    wait_until(
        lambda: service.answers(LOOPBACK, record.port) or not process.is_alive,
        service.deadline_seconds,
    )
    if process.is_alive and service.answers(LOOPBACK, record.port):
        return
    fate = f"did not answer in {service.deadline_seconds:.0f} s" if process.is_alive else "ended at its start"
    process.kill()
    state.put(replace(record, is_up=False, process=None))
    raise StartError(f"{service.title} {fate}", REMEDY, place.log_of(service.name))
