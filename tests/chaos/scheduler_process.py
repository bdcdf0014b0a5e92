"""The scheduler process under test, run as a user runs one: ``asyncflow run tests.chaos.scheduler_process:make``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine

from asyncflow import Scheduler
from asyncflow.events import (
    Event,
    OwnershipChanged,
    PageFetched,
    SchedulerStarted,
    SettleFenced,
    StepFailed,
    TaskFailed,
    TaskRetried,
    TasksPublished,
    TasksSettled,
)
from asyncflow.integrations.redis import RedisRegistry
from asyncflow.integrations.zookeeper import ZooKeeper
from tests.chaos.bank import Bank
from tests.chaos.plan import Plan
from tests.chaos.publishers import LethalPublisher, publisher_of
from tests.chaos.shop import Shop
from tests.chaos.telling import die_with_parent, tell


def make() -> Scheduler:
    """Return the scheduler of this process's plan."""
    die_with_parent()
    plan = Plan.from_environment()
    kinds: dict[str, type[Shop] | type[Bank]] = {"shop": Shop, "bank": Bank}
    application = kinds[plan.application](create_engine(plan.database_url), plan.topic)
    publisher = publisher_of(plan.client, plan.bootstrap, on_mock=plan.on_mock)
    lethal = LethalPublisher(publisher, plan, application.are_settled)
    return Scheduler(
        application.engine,
        application.outbox,
        {"kafka": lethal},
        hooks=[tell_of],
        on_success=plan.on_success,
        lease_seconds=plan.lease_seconds,
        heartbeat_seconds=(plan.session_seconds if plan.zookeeper or plan.redis else plan.lease_seconds) / 8,
        sharding_strategy=plan.strategy,
        registry=registry_of(plan),
    )


def registry_of(plan: Plan) -> ZooKeeper | RedisRegistry | None:
    """Return what the plan wants to hear of the others by; None for the database."""
    where: dict[str, Any] = {"namespace": plan.namespace, "session_timeout_seconds": plan.session_seconds}
    if plan.zookeeper:
        return ZooKeeper(plan.zookeeper, **where)
    return RedisRegistry(plan.redis, **where) if plan.redis else None


def tell_of(event: Event) -> None:
    """Be a hook that tells the parent of each step."""
    match event:
        case SchedulerStarted(owner=owner):
            tell("started", owner=owner)
        case OwnershipChanged(shards=shards, lost=lost):
            tell("owns", shards=len(shards), lost=len(lost))
        case StepFailed(loop=loop, error=error):
            tell("step failed", loop=loop, error=repr(error)[:200])
        case PageFetched(tasks=tasks):
            tell("fetched", tasks=tasks)
        case TasksPublished(tasks=tasks, sent=sent):
            tell("published", tasks=tasks, sent=sent)
        case TasksSettled(succeeded=succeeded):
            tell("settled", tasks=succeeded)
        case SettleFenced(tasks=tasks):
            tell("fenced", tasks=tasks)
        case TaskRetried(error=error) | TaskFailed(error=error):
            tell("troubled", error=error)
        case _:
            pass
