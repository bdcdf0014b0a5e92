"""Tell the task service what became of tasks that came by a queue: its workers' way back in place of the broker."""

from asyncflow.integrations.flowsvr.queueing.outcomes_by_service import OutcomesByService

__all__ = ["OutcomesByService"]
