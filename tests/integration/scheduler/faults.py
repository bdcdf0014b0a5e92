"""Steps of loops that failed, but for those that a slow machine makes fail."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from asyncflow.events import StepFailed
from asyncflow.outbox.dialects import dialect_of
from tests.support.application import Application


def faults(application: Application) -> list[StepFailed]:
    """Return the steps that failed for another reason than that somebody held a lock for too long, and let it go."""
    dialect = dialect_of(application.engine.dialect.name)

    def is_wait(error: BaseException) -> bool:
        return isinstance(error, DBAPIError) and (dialect.is_lock_wait(error) or dialect.is_contention(error))

    return [failed for failed in application.signals.of(StepFailed) if not is_wait(failed.error)]
