"""The application of ../compose.yaml: put yours in its place. It is named ``app:scheduler``."""

import logging
import os

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase

from asyncflow import Outbox, Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher


class Base(DeclarativeBase):
    """What Alembic and ``create_all`` see: your tables, and the outbox's."""


# A scheduler takes 8 + 2 x destinations, each transactional handler at work one more; the task service takes one for
# each of its `threads`, and a few.
engine = create_engine(
    os.environ["ASYNCFLOW_DATABASE_URL"], pool_size=10, max_overflow=10, pool_pre_ping=True, hide_parameters=True
)
outbox = Outbox(Base.metadata)
outbox.message("user.registered")


@outbox.task("mail.welcome", max_retries=5)
def send_welcome(account_no: str) -> None:
    """Stand for a handler of yours."""
    logging.getLogger("shop").info("welcome, %s", account_no)


scheduler = Scheduler(
    engine,
    outbox,
    {"kafka": ConfluentKafkaPublisher(os.environ["KAFKA_SERVERS"])},
    stop_timeout_seconds=30.0,  # whoever stops it must wait longer: stop_grace_period, TimeoutStopSec
)
