"""What a scheduler's page of metrics tells, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert, text

from asyncflow import Scheduler, Status
from asyncflow.errors import OptionError
from asyncflow.integrations.prometheus import MetricsServer, OutboxCollector
from asyncflow.scheduler.telling.instance_state import InstanceState, ToldBreaker, ToldTrouble
from asyncflow.scheduler.telling.recollection import FENCED
from tests.integration.scheduler.writing import alter, publish, publish_many, statements
from tests.support.application import Application
from tests.support.snippets import ROOT
from tests.unit.scheduler.waiting import eventually

QUICK: dict[str, Any] = {"heartbeat_seconds": 0.1, "lease_seconds": 60.0, "max_pause_seconds": 0.1, "tick": 0.1}


def page_of(server: MetricsServer) -> str:
    with urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


def test_a_scheduler_serves_what_it_counts_and_what_the_tables_tell(
    application: Application, schedule: Callable[..., Scheduler]
) -> None:
    scheduler = schedule(**QUICK)
    with MetricsServer(scheduler, 0) as server:
        scheduler.start()
        publish_many(application, 5)
        eventually(lambda: application.statuses() == [Status.SUCCESS] * 5)
        settled = 'asyncflow_tasks_settled_total{destination="kafka",outcome="succeeded"} 5.0'
        eventually(lambda: settled in page_of(server))
        page = page_of(server)
        assert {family.name for family in text_string_to_metric_families(page)} >= {
            "asyncflow_instances",
            "asyncflow_look_failed",
            "asyncflow_publish_seconds",
            "asyncflow_shards_owned",
        }
        assert "asyncflow_look_failed 0.0" in page
        with pytest.raises(OptionError, match="give one that is free"):
            MetricsServer(scheduler, server.port)


def test_many_scrapes_cost_one_look_and_a_look_that_fails_is_told(sqlite_application: Application) -> None:
    publish(sqlite_application)
    alter(sqlite_application, "order_time = '2026-01-01 00:00:00.000000'")
    now, registry = [0.0], CollectorRegistry()
    collector = OutboxCollector(
        sqlite_application.engine, sqlite_application.outbox, kept_seconds=10.0, clock=lambda: now[0]
    )
    registry.register(collector)
    with statements(sqlite_application.engine) as sent:
        pages = {generate_latest(registry) for _ in range(50)}
    (page,) = pages
    looks = len(sent)
    assert 0 < looks < 40
    assert re.search(rb'asyncflow_oldest_due_seconds\{task_type="user.registered"\} \d+', page)
    assert b'asyncflow_findings{code="no-instance",severity="stuck"} 1.0' in page
    assert b"asyncflow_instances 0.0" in page
    now[0] = 11.0
    with statements(sqlite_application.engine) as sent:
        generate_latest(registry)
    assert 0 < len(sent) <= looks
    with sqlite_application.engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {sqlite_application.outbox.shards.fullname}"))
    now[0] = 22.0
    failed = generate_latest(registry)
    assert b"asyncflow_look_failed 1.0" in failed
    assert b"asyncflow_instances" not in failed


def test_the_alerts_in_sql_find_nothing_where_all_is_well_and_what_is_not(application: Application) -> None:
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    if application.engine.dialect.name == "sqlite":
        pytest.skip("the statements are for servers")
    blocks = re.findall(r"^-- (Asyncflow\w+)\n(.+?);$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8

    def fired() -> set[str]:
        found = set()
        with application.engine.connect() as connection:
            for name, statement in blocks:
                if application.engine.dialect.name == "mysql":
                    statement = re.sub(r"interval '(\d+) minutes'", r"INTERVAL \1 MINUTE", statement)
                    statement = statement.replace("now()", "UTC_TIMESTAMP(6)")
                if connection.execute(text(statement)).all():
                    found.add(name)
        return found

    assert fired() == {"AsyncflowNoInstance"}
    publish_many(application, 3)
    alter(application, "order_time = '2026-01-01 00:00:00.000000'")
    assert fired() == {"AsyncflowNoInstance", "AsyncflowOldestDue"}
    alter(application, "status = 1")
    assert fired() == {"AsyncflowNoInstance", "AsyncflowClaimsRanOut"}
    alter(application, "status = 3, order_time = CURRENT_TIMESTAMP")
    _spoil(application)
    assert fired() == {name for name, _ in blocks} - {
        "AsyncflowNoInstance",
        "AsyncflowOldestDue",
        "AsyncflowClaimsRanOut",
    }


def _spoil(application: Application) -> None:
    """Write what instances and keys leave behind when nearly everything is wrong, and one instance is alive."""
    outbox, now, later = application.outbox, timedelta(0), timedelta(seconds=600)
    trouble = ToldTrouble(name=FENCED, error="kafka", count=3)
    state = InstanceState(
        breakers=(ToldBreaker(destination="kafka", state="open"),), failing=(trouble,), troubles=(trouble,)
    )
    instance = {"job": "outbox", "instance": "a:1", "leaving": False, "state": state.as_text()}
    shard = {"job": "outbox", "shard": 0, "epoch": 1, "disabled": False, "misfire": False, "running": False}
    key = {"task_type": "user.registered", "task_key": "A1", "shard": 0, "since": now}
    periodic = {"name": "report", "cron": "0 3 * * *", "timezone": "UTC", "modified_at": now}
    with application.engine.begin() as connection:
        connection.execute(insert(outbox.instances).values(**instance, joined_at=now, lease_until=later))
        connection.execute(insert(outbox.shards).values(**shard))
        connection.execute(insert(outbox.parked_keys).values(**key))
        long_ago = datetime(2026, 1, 1, tzinfo=timezone.utc)
        connection.execute(insert(outbox.periodic_entries).values(**periodic, next_due=long_ago))


def test_gauges_tell_of_parked_keys_and_of_what_is_due_later(sqlite_application: Application) -> None:
    outbox, registry = sqlite_application.outbox, CollectorRegistry()
    publish(sqlite_application, delay_seconds=7200)
    outbox.message("mail.sent")
    publish(sqlite_application, task_type="mail.sent", delay_seconds=7200)
    publish(sqlite_application, task_type="mail.sent")  # of which one is due now
    rows = [{"task_type": "in.order", "task_key": f"A{n}", "shard": n, "since": timedelta(0)} for n in range(3)]
    with sqlite_application.engine.begin() as connection:
        connection.execute(insert(outbox.parked_keys), rows)
    registry.register(OutboxCollector(sqlite_application.engine, outbox))
    page = generate_latest(registry).decode()
    assert 'asyncflow_parked_keys{task_type="in.order"} 3.0' in page
    (due_in,) = re.findall(r'asyncflow_due_in_seconds\{task_type="([^"]+)"\} (\S+)', page)
    assert due_in[0] == "user.registered"
    assert 3600 < float(due_in[1]) <= 7200
