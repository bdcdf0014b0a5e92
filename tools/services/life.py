"""The life of the services: up and down, and what chaos tests do to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from tools.services import place, state
from tools.services.compose import Compose
from tools.services.connect import Connect
from tools.services.debian import Debian
from tools.services.errors import CannotServeError, NothingServesError, NotOursError, ServiceError, StartError
from tools.services.etcd import Etcd
from tools.services.given import Given
from tools.services.kafka import Kafka
from tools.services.mariadb import MariaDB
from tools.services.mock import Mock
from tools.services.mysql import MySQL
from tools.services.nats import Nats
from tools.services.newer_debian import NewerDebian
from tools.services.opensearch import OpenSearch
from tools.services.pgbouncer import PgBouncer
from tools.services.postgresql import PostgreSQL
from tools.services.process import wait_until
from tools.services.programs import Programs
from tools.services.provider import Provider, Wanted
from tools.services.rabbitmq import RabbitMQ
from tools.services.redis import Redis
from tools.services.rocketmq import RocketMQ
from tools.services.service import Service
from tools.services.state import Record
from tools.services.unpacked import Unpacked
from tools.services.zookeeper import ZooKeeper

ANSWER_DEADLINE_SECONDS = 5.0

Result = TypeVar("Result")

# Every test run needs the usual ones; the others are started by name, and tests of theirs are skipped without them.
USUAL: dict[str, Service] = {service.name: service for service in (MariaDB(), PostgreSQL(), Kafka())}
_OTHERS = (
    RabbitMQ(),
    Redis(),
    Nats(),
    ZooKeeper(),
    Etcd(),
    MySQL(),
    RocketMQ(),
    PgBouncer(),
    Connect(),
    OpenSearch(),
)
OTHERS: dict[str, Service] = {service.name: service for service in _OTHERS}
SERVICES: dict[str, Service] = {**USUAL, **OTHERS}
PROVIDERS: dict[str, tuple[Provider, ...]] = {
    "mariadb": (Given(), Compose(), Programs(), Debian()),
    "postgresql": (Given(), Compose(), Programs(), Debian()),
    "kafka": (Given(), Compose(), Programs(), Mock()),
    "rabbitmq": (Given(), Programs(), Unpacked()),
    "redis": (Given(), Programs(), Unpacked()),
    "nats": (Given(), Programs(), Unpacked()),
    "zookeeper": (Given(), Programs()),
    "etcd": (Given(), Programs(), Unpacked()),
    "mysql": (Given(), Programs(), NewerDebian()),
    "rocketmq": (Given(), Programs()),
    "pgbouncer": (Given(), Programs(), Unpacked()),
    "connect": (Given(), Programs()),
    "opensearch": (Given(), Programs()),
}


def up(*names: str) -> list[Record]:
    """Bring services up, the usual ones if none is named: what serves is kept, what is dead is started again."""
    return _each(names or tuple(USUAL), start)


def down(*names: str) -> list[Record]:
    """Shut down services that we started, all of them if none is named; their data stay."""
    return [record for record in _each(names, _down) if record]


def remove(*names: str) -> None:
    """Shut down services that we started, all of them if none is named, and delete their data."""
    _each(names, _remove)


def start(name: str) -> Record:
    """Bring one service up, after those that it needs, and return its record.

    On its former data, and its former port unless that is taken.
    """
    service = _service(name)
    for needed in service.needs:
        start(needed)
    with state.locked(name):
        former = state.records().get(name)
        if former and _still_serves(former):
            return former
        if former:
            _halt(former)
        else:
            place.clear(name)  # data without a record were copied from another checkout, from under its server
        return state.put(_first_that_serves(Wanted(service, former)))


def stop(name: str) -> None:
    """Shut one service down in good order; `start` brings it back. NotOursError if we did not start it."""
    _end(name, lambda provider, record: provider.stop(record))


def kill(name: str) -> None:
    """End one service by SIGKILL; `start` brings it back. NotOursError if we did not start it."""
    _end(name, lambda provider, record: provider.kill(record))


def status(*names: str) -> dict[str, Record | None]:
    """Return the record of services; if none is named, of the usual ones and of the others that were ever up.

    None for one that was never up.
    """
    records = state.records()
    named = names or (*USUAL, *(name for name in OTHERS if name in records))
    return {name: records.get(_service(name).name) for name in named}


def serves(record: Record) -> bool:
    """Tell whether a service is alive and answers."""
    service = _service(record.service)
    return record.is_alive and service.answers(*service.endpoint(record.address))


def _first_that_serves(wanted: Wanted) -> Record:
    """Ask the providers in their turn; return the record of the first that serves."""
    reasons: list[str] = []
    for provider in _in_turn(wanted):
        try:
            record = provider.serve(wanted)
        except (CannotServeError, StartError) as reason:
            reasons.append(str(reason))
        else:
            return record if record.is_real else _with_reasons(record, reasons)
    raise NothingServesError(wanted.service.title, wanted.service.variable, reasons)


def _in_turn(wanted: Wanted) -> list[Provider]:
    """Return the providers in the order to ask them.

    The environment's word goes first, then whoever has the data of a former start, which a stand-in has not.
    """
    former = wanted.former
    holder = former.provider if former and former.is_real else None
    return sorted(PROVIDERS[wanted.service.name], key=lambda one: (one.name != Given.name, one.name != holder))


def _with_reasons(record: Record, reasons: list[str]) -> Record:
    """Return a stand-in's record with the reasons why the real service is not there."""
    first_lines = "; ".join(reason.partition("\n")[0] for reason in reasons)
    return replace(record, note=f"{record.note}, because {first_lines}")


def _still_serves(record: Record) -> bool:
    """Tell whether a service is up, answers, and is the one that the environment asks for, if it asks."""
    asked = os.environ.get(_service(record.service).variable) or record.address
    if asked != record.address or not record.is_alive:
        return False
    return wait_until(lambda: serves(record), ANSWER_DEADLINE_SECONDS)


def _down(name: str) -> Record | None:
    """Shut one service down if it is up; return its record, or None if it was never up."""
    _service(name)
    with state.locked(name):
        record = state.records().get(name)
        return _halt(record) if record else None


def _remove(name: str) -> None:
    """Shut one service down if it is up, and delete its data."""
    _service(name)
    with state.locked(name):
        record = state.records().get(name)
        if record:
            _halt(record)
            _provider(record).remove(record)
        place.clear(name)


def _halt(record: Record) -> Record:
    """Shut a service down if it is up and ours, and record that."""
    if record.is_alive and record.provider != Given.name:
        _provider(record).stop(record)
    return _ended(record)


def _end(name: str, verb: Callable[[Provider, Record], None]) -> None:
    """End one service that we started by a verb of its provider, and record that."""
    service = _service(name)
    with state.locked(name):
        record = state.records().get(name)
        if record is None:
            raise NotOursError(f"{service.title} was never up: run `python -m tools.services up {name}`")
        verb(_provider(record), record)
        _ended(record)


def _ended(record: Record) -> Record:
    """Record that a service is down."""
    return state.put(replace(record, is_up=False, process=None))


def _service(name: str) -> Service:
    """Return the service of that name."""
    if name not in SERVICES:
        raise ServiceError(f"there is no service {name!r}: there are {', '.join(SERVICES)}")
    return SERVICES[name]


def _provider(record: Record) -> Provider:
    """Return the provider that a record names."""
    return next(provider for provider in PROVIDERS[record.service] if provider.name == record.provider)


def _each(names: Sequence[str], do: Callable[[str], Result]) -> list[Result]:
    """Do something to several services at the same time; raise what failed once all are done."""
    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(do, name) for name in names or SERVICES]
    failures = [failure for future in futures if (failure := future.exception())]
    if failures:
        raise ServiceError("\n\n".join(map(str, failures))) from failures[0]
    return [future.result() for future in futures]
