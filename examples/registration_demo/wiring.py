"""The outbox of `accounts` and its scheduler: what an application writes once.

asyncflow run examples.registration_demo.wiring:scheduler
"""

from __future__ import annotations

from asyncflow import Outbox, Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher, KafkaSettings
from examples.registration_demo.database import open_engine
from examples.registration_demo.settings import Settings
from examples.registration_demo.users import Base

settings = Settings.of("accounts")
engine = open_engine(settings.database_url)

outbox = Outbox(Base.metadata)
outbox.message("user.registered", topic=settings.topic)


def scheduler() -> Scheduler:
    """Make the scheduler; only the process that runs it needs a publisher."""
    # Two seconds without an answer and the broker counts as away. The default of ten would outlast the demo's
    # outage, and nobody would see the circuit breaker open.
    patience = KafkaSettings(client_id="accounts", delivery_timeout_seconds=2)
    return Scheduler(engine, outbox, publishers={"kafka": ConfluentKafkaPublisher(settings.kafka, patience)})
