"""The wiring of the house, read from its files: short constructors, callbacks given at the making, a thin scheduler."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache

import pytest

from tests.unit.test_import_law import IMPORTS, ROOT, module_name, within
from tests.unit.test_rooms import MODULES

MOST_PARAMETERS = 5
MOST_SIBLINGS = 10
SCHEDULER = "asyncflow.scheduler.scheduler"

# What applications import: a name may come, and none may go.
PUBLIC = {
    "asyncflow": (
        "Call CancelTask DataflowJob Enqueued HandlerType Inbox JobSettings Message MessageType NotDone "
        "Outbox PeriodicTask RejectTask RetryTask Scheduler SchedulerSettings ShardingContext SimpleJob "
        "Status Task TaskContext TaskMixin"
    ),
    "asyncflow.outbox": (
        "Call CancelTask Enqueued HandlerType Inbox Message MessageType NotDone Outbox PeriodicTask "
        "RejectTask RetryTask Status Task TaskMixin audit_table context_table dedupe_table inbox_table "
        "instance_table job_table parked_key_table periodic_table schedule_cfg_table shard_table "
        "task_table"
    ),
    "asyncflow.scheduler": (
        "SENT Audit AuditEntry Configurations Counters DataflowJob DeadLetters JobSettings Outcome "
        "Publisher Record Rejected Retry Scheduler SchedulerSettings Selection Sent ShardingContext "
        "SimpleJob TaskContext TypeConfig Unavailable"
    ),
    "asyncflow.integrations.kafka": (
        "ConfluentKafkaPublisher KafkaPublisher KafkaQueue KafkaSasl KafkaSettings KafkaTls"
    ),
    "asyncflow.integrations.kafka.consuming": "Consumer",
    "asyncflow.integrations.kafka.queueing": "KafkaQueue",
    "asyncflow.integrations.nats.consuming": "NatsConsumer",
    "asyncflow.integrations.rabbitmq.consuming": "RabbitMQConsumer",
    "asyncflow.integrations.redis.consuming": "RedisConsumer",
    "asyncflow.integrations.rocketmq.consuming": "RocketMQConsumer",
}


@cache
def trees() -> dict[str, ast.Module]:
    return {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}


def hidden_classes() -> Iterator[tuple[str, ast.ClassDef]]:
    public = {name for door in PUBLIC for name in importlib.import_module(door).__all__}
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name not in public:
                yield module, node


def parameters(node: ast.ClassDef) -> list[str]:
    """Return what its ``__init__`` takes besides self."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            given = method.args
            return [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)][1:]
    return []


def required_fields(node: ast.ClassDef) -> list[str]:
    """Return the fields that a dataclass must be given by their places; none of one that takes names alone."""
    decorators = [ast.unparse(one) for one in node.decorator_list]
    if not any("dataclass" in one for one in decorators) or any("kw_only=True" in one for one in decorators):
        return []
    fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and one.value is None]
    return [ast.unparse(one.target) for one in fields]


def works(node: ast.ClassDef) -> bool:
    """Tell whether it does something, beside holding values."""
    return any(isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) for one in node.body)


def test_no_constructor_behind_the_public_face_takes_more_than_five_parameters() -> None:
    given = {f"{module}.{node.name}": parameters(node) for module, node in hidden_classes()}
    assert len(given) > 100
    assert {name: names for name, names in given.items() if len(names) > MOST_PARAMETERS} == {}


def test_what_works_is_made_with_five_values_by_their_places_at_most() -> None:
    """A record of many values may be read by their names; it is what does something that must be easy to make."""
    given = {f"{module}.{node.name}": required_fields(node) for module, node in hidden_classes() if works(node)}
    assert {name: names for name, names in given.items() if len(names) > MOST_PARAMETERS} == {}


def test_the_scheduler_imports_at_most_ten_of_its_siblings() -> None:
    imported = {one.imported for one in IMPORTS if one.importer == SCHEDULER} & MODULES
    siblings = {name for name in imported if within(name, "asyncflow.scheduler")}
    assert 0 < len(siblings) <= MOST_SIBLINGS


def test_a_callback_is_given_at_the_making_and_never_set_on_what_is_finished() -> None:
    found = [
        f"{module}: {ast.unparse(node)}"
        for module, tree in trees().items()
        for node in ast.walk(tree)
        for target in (node.targets if isinstance(node, ast.Assign) else ())
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) != "self" and is_callback(target.attr)
    ]
    assert found == []


def is_callback(name: str) -> bool:
    return name.lstrip("_").startswith("on_") or name in ("wake", "owned", "locked", "is_ahead", "ownership")


@pytest.mark.parametrize("door", PUBLIC)
def test_what_applications_import_is_there_still(door: str) -> None:
    assert set(PUBLIC[door].split()) <= set(importlib.import_module(door).__all__)


@pytest.mark.parametrize("name", ["TaskId", "task_table", "TaskMixin", "inbox_table", "WORKER_COLUMNS", "KEY_LENGTH"])
def test_what_migrations_import_has_the_path_that_they_know(name: str) -> None:
    tables = importlib.import_module("asyncflow.outbox.tables")
    assert hasattr(tables, name)
    assert tables.TaskId.__module__ == "asyncflow.outbox.tables"
