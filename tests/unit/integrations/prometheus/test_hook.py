"""Events are counted, and every metric that an alert asks for is there."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from asyncflow import events
from asyncflow.integrations.prometheus import PrometheusHook
from tests.support.snippets import ROOT

RULES = (ROOT / "docs" / "alerts" / "asyncflow.rules.yml").read_text(encoding="utf-8")
OF_LOOKS = {"asyncflow_instances", "asyncflow_findings", "asyncflow_oldest_due_seconds", "asyncflow_shards_unowned"}
OF_LOOKS |= {"asyncflow_look_failed", "asyncflow_look_seconds"}

COUNTED = [
    (
        events.TasksSettled("kafka", 5, 2, 1, 0.02),
        'asyncflow_tasks_settled_total{destination="kafka",outcome="succeeded"} 5',
    ),
    (
        events.TasksSettled("kafka", 0, 2, 0, 0.02),
        'asyncflow_tasks_settled_total{destination="kafka",outcome="retried"} 2',
    ),
    (events.TasksSettled("kafka", 5, 2, 1, 0.02), 'asyncflow_settle_seconds_bucket{destination="kafka",le="0.025"} 1'),
    (events.TaskRetried(uuid4(), "mail", 1, 1.0, "x"), 'asyncflow_task_retries_total{task_type="mail"} 1'),
    (events.TaskFailed(uuid4(), "mail", 1, "x"), 'asyncflow_dead_letters_total{task_type="mail"} 1'),
    (events.TaskEnqueued(uuid4(), "mail", "A1"), 'asyncflow_tasks_enqueued_total{task_type="mail"} 1'),
    (events.ClaimsRanOut("mail", 2, 1), 'asyncflow_claims_ran_out_total{task_type="mail"} 3'),
    (events.SettleFenced("kafka", 4), 'asyncflow_settles_fenced_total{destination="kafka"} 4'),
    (events.StepFailed("cluster", ValueError(), 1.0), 'asyncflow_steps_failed_total{loop="cluster"} 1'),
    (events.PageFetched("kafka", 1, 5, 0.3), 'asyncflow_fetch_seconds_sum{destination="kafka"} 0.3'),
    (events.TasksPublished("kafka", 5, 5, 0.2), 'asyncflow_publish_seconds_count{destination="kafka"} 1'),
    (events.BreakerChanged("kafka", "open", 1.0, "x"), 'asyncflow_breaker_open{destination="kafka",topic=""} 1'),
    (events.BreakerChanged("kafka", "closed", 0.0, "", "t"), 'asyncflow_breaker_open{destination="kafka",topic="t"} 0'),
    (
        events.TasksSettled("kafka", 2, 0, 0, 0.1, waits=(0.2, 0.01, 90_000.0)),
        'asyncflow_queue_seconds_bucket{destination="kafka",le="0.01"} 1',
    ),
    (
        events.TasksSettled("kafka", 2, 0, 0, 0.1, waits=(0.2, 0.01, 90_000.0)),
        'asyncflow_queue_seconds_bucket{destination="kafka",le="0.25"} 2',
    ),
    (
        events.TasksSettled("kafka", 2, 0, 0, 0.1, waits=(0.2, 0.01, 90_000.0)),
        'asyncflow_queue_seconds_count{destination="kafka"} 3',
    ),
    (
        events.TasksSettled("kafka", 2, 0, 0, 0.1, waits=(0.25, 0.5)),
        'asyncflow_queue_seconds_sum{destination="kafka"} 0.75',
    ),
    (events.OwnershipChanged("outbox", "a", (1, 2), ()), 'asyncflow_shards_owned{job="outbox"} 2'),
]


@pytest.mark.parametrize(("event", "line"), COUNTED, ids=lambda one: one if isinstance(one, str) else "")
def test_an_event_is_counted(event: events.Event, line: str) -> None:
    registry = CollectorRegistry()
    PrometheusHook(registry)(event)
    assert line in generate_latest(registry).decode()


def test_counts_add_up_for_each_place_by_itself() -> None:
    registry = CollectorRegistry()
    hook = PrometheusHook(registry, by_database=True)
    for database, mail, sms in (("db0", 3, 1), ("db1", 2, 0)):
        for task_type, count in (("mail", mail), ("sms", sms)):
            for _ in range(count):
                hook(events.TaskEnqueued(uuid4(), task_type, None, database_name=database))
        hook(events.PageFetched("kafka", 1, 5, 0.25, database_name=database))
    page = generate_latest(registry).decode()
    for name, database, count in (("mail", "db0", 3), ("mail", "db1", 2), ("sms", "db0", 1)):
        assert f'asyncflow_tasks_enqueued_total{{database="{database}",task_type="{name}"}} {count}.0' in page
    assert page.count("asyncflow_fetch_seconds_sum{") == page.count("} 0.25") == 2


def test_every_metric_of_the_alerts_is_there_and_each_leads_into_the_runbook() -> None:
    registry = CollectorRegistry()
    hook = PrometheusHook(registry)
    for event, _ in COUNTED:
        hook(event)
    there = set(re.findall(r"^(asyncflow_\w+)", generate_latest(registry).decode(), re.MULTILINE)) | OF_LOOKS
    assert set(re.findall(r"\basyncflow_\w+", RULES)) <= there
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    sections = {f"docs/operate.md#{name}" for name in (*re.findall(r"^### (\S+)$", page, re.MULTILINE), "the-runbook")}
    leads = re.findall(r'runbook: "(.+?)"', RULES)
    assert set(leads) <= sections
    assert len(leads) == len(re.findall(r"- alert: ", RULES)) >= 8
