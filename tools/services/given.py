"""A service whose address is given in the environment; it is not ours to steer."""

from __future__ import annotations

import os

from tools.services.errors import CannotServeError, NotOursError, ServiceError
from tools.services.process import wait_until
from tools.services.provider import Provider, Wanted
from tools.services.service import Service
from tools.services.state import Record

DEADLINE_SECONDS = 10.0


class Given(Provider):
    """The service that the environment names."""

    name = "given"

    def serve(self, wanted: Wanted) -> Record:
        """Return the record of the address given; it was asked for, so silence there is an error."""
        service = wanted.service
        address = os.environ.get(service.variable)
        if not address:
            raise CannotServeError(f"{service.variable} is not set")
        host, port = service.endpoint(address)
        if not wait_until(lambda: service.answers(host, port), DEADLINE_SECONDS):
            raise ServiceError(f"no {service.title} answers at {host}:{port}: start it, or unset {service.variable}")
        return record_of(service, address)

    def stop(self, record: Record) -> None:
        """Refuse: it was up before we came."""
        raise NotOursError(f"the {record.note} is not ours to end")

    def kill(self, record: Record) -> None:
        """Refuse: others may use it."""
        self.stop(record)

    def remove(self, record: Record) -> None:
        """Leave its data alone."""


def record_of(service: Service, address: str) -> Record:
    """Return the record of a service at an address that was given."""
    return Record(
        service=service.name,
        provider=Given.name,
        address=address,
        port=service.endpoint(address)[1],
        note=f"{service.title} given by {service.variable}",
    )
