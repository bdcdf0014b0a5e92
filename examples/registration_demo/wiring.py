"""The outbox of `accounts` and its scheduler: what an application writes once.

asyncflow run examples.registration_demo.wiring:scheduler
"""

from __future__ import annotations

from asyncflow import Outbox, Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher, KafkaSettings
from examples.registration_demo.database import open_engine
from examples.registration_demo.settings import Settings
from examples.registration_demo.users import Base
from examples.registration_demo.voucher import issue_voucher

settings = Settings.of("accounts")
engine = open_engine(settings.database_url)

outbox = Outbox(Base.metadata)
outbox.message("user.registered", topic=settings.topic)
# Its session is on this database, whose one writer at a time, on SQLite, two at once would only disturb.
outbox.task("voucher.issue", transactional=True, concurrency=1, limit=50)(issue_voucher)


def scheduler() -> Scheduler:
    """Make the scheduler; only the process that runs it needs a publisher."""
    # Two seconds without an answer and the broker counts as away. The default of ten would outlast the demo's
    # outage, and nobody would see the circuit breaker open.
    patience = KafkaSettings(client_id="accounts", delivery_timeout_seconds=2)
    publishers = {"kafka": ConfluentKafkaPublisher(settings.kafka, patience)}
    # What a killed scheduler had claimed is given back after three seconds; the default, 30, would outlast the show.
    return Scheduler(engine, outbox, publishers, claim_lease_seconds=3, monitor_interval_seconds=0.5)
