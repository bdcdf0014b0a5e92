"""A service as it is at present: that of the environment, or ours if it is up."""

from __future__ import annotations

import os

from tools.services import given, state
from tools.services.service import Service
from tools.services.state import Record


def current(service: Service) -> Record | None:
    """Return the record of a service that is up, or None."""
    record = state.records().get(service.name)
    alive = record if record and record.is_alive else None
    address = os.environ.get(service.variable)
    if address and not (alive and alive.address == address):
        return given.record_of(service, address)
    return alive
