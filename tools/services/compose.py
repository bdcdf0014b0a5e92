"""A service in a container, by Docker Compose and the checkout's compose.yaml."""

from __future__ import annotations

import functools

from tools.services import place, ports
from tools.services.command import find, run
from tools.services.errors import StartError
from tools.services.ports import LOOPBACK
from tools.services.process import wait_until
from tools.services.provider import Provider, Wanted
from tools.services.service import Service
from tools.services.state import Record

PROJECT = "asyncflow"
ENGINE_DEADLINE_SECONDS = 10.0
PULL_DEADLINE_SECONDS = 900.0


class Compose(Provider):
    """Docker Compose; the data are in the containers and their anonymous volumes."""

    name = "compose"

    def serve(self, wanted: Wanted) -> Record:
        """Start the service's container on a port of the loopback interface and wait until it answers."""
        _require_engine()
        service, port = wanted.service, ports.choose(wanted.port)
        _compose("up", "--detach", service.name, environment={f"ASYNCFLOW_{service.name.upper()}_PORT": str(port)})
        if not wait_until(lambda: service.answers(LOOPBACK, port), service.deadline_seconds):
            raise _given_up(service)
        return Record(
            service=service.name,
            provider=self.name,
            address=service.address(port),
            port=port,
            note=f"{service.title} in a container of Docker Compose",
        )

    def stop(self, record: Record) -> None:
        """Stop the container."""
        _compose("stop", record.service)

    def kill(self, record: Record) -> None:
        """Kill the container."""
        _compose("kill", record.service)

    def remove(self, record: Record) -> None:
        """Delete the container and its volumes."""
        _compose("rm", "--stop", "--force", "--volumes", record.service)


@functools.cache
def _require_engine() -> None:
    """Raise CannotServeError unless a Docker engine and Compose answer soon."""
    docker = find("docker")
    run([docker, "info"], deadline_seconds=ENGINE_DEADLINE_SECONDS)
    run([docker, "compose", "version"], deadline_seconds=ENGINE_DEADLINE_SECONDS)


def _compose(*words: str, environment: dict[str, str] | None = None) -> str:
    """Run Docker Compose on our project."""
    project = ["--project-name", PROJECT, "--file", str(place.CHECKOUT / "compose.yaml")]
    command = [find("docker"), "compose", *project, *words]
    return run(command, environment=environment, deadline_seconds=PULL_DEADLINE_SECONDS)


def _given_up(service: Service) -> StartError:
    """Stop a container that does not answer, and return the error; its log is put where the other logs are."""
    log = place.log_of(service.name)
    log.write_text(_compose("logs", "--no-color", service.name))
    _compose("stop", service.name)
    fate = f"its container did not answer in {service.deadline_seconds:.0f} s"
    return StartError(f"{service.title}: {fate}", "Mend what its log says", log)
