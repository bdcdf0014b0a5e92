"""Debezium's configuration: it names what the task table and a captured row have."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from sqlalchemy import MetaData

from asyncflow import Outbox, Status
from asyncflow.outbox.captured import as_captured
from asyncflow.outbox.message import CAPTURED_HEADERS, Message, row_of
from tests.support.snippets import ROOT

DEBEZIUM = ROOT / "deploy" / "debezium"
DATABASES = {"mysql": "shop", "mariadb": "shop", "postgresql": "public"}  # each with the place of its table
GIVEN = {"DATABASE_HOST", "DATABASE_PORT", "DATABASE_USER", "DATABASE_PASSWORD", "KAFKA_SERVERS"}
TASKS = Outbox(MetaData()).tasks


def configuration(name: str) -> dict[str, str]:
    found: dict[str, Any] = json.loads((DEBEZIUM / f"{name}.json").read_text(encoding="utf-8"))
    assert found["name"] == f"asyncflow-{name}"
    return {**found["config"]}


def captured_headers() -> str:
    outbox = Outbox(MetaData())
    kind = outbox.message("order.paid", captured=True)
    message = Message(1, headers={"a": "b"}, content_type="text/plain")
    headers: str = as_captured(row_of(message, kind, outbox._door), kind)["headers"]
    return headers


@pytest.mark.parametrize("name", DATABASES)
def test_the_router_is_led_to_columns_of_the_task_table(name: str) -> None:
    its = configuration(name)
    columns = {value for option, value in its.items() if option.startswith("transforms.outbox.table.field.")}
    placed = [one.split(":") for one in its["transforms.outbox.table.fields.additional.placement"].split(",")]
    columns |= {its["transforms.outbox.route.by.field"], *(column for column, _, _ in placed)}
    assert columns <= {column.name for column in TASKS.columns}
    assert {"task_key", "payload", "task_type"} <= columns
    assert ["headers", "header", CAPTURED_HEADERS] in placed


@pytest.mark.parametrize(("name", "place"), DATABASES.items(), ids=DATABASES)
def test_it_reads_the_task_table_and_no_other(name: str, place: str) -> None:
    its, table = configuration(name), f"{place}.{TASKS.name}"
    assert its["table.include.list"] == its["snapshot.select.statement.overrides"] == table
    assert re.fullmatch(its["predicates.isTask.pattern"], f"{its['topic.prefix']}.{table}")
    assert f" FROM {table} " in its[f"snapshot.select.statement.overrides.{table}"]


@pytest.mark.parametrize(("name", "place"), DATABASES.items(), ids=DATABASES)
def test_rows_that_are_there_already_are_told_by_how_the_headers_of_captured_ones_begin(name: str, place: str) -> None:
    wanted = re.search(
        r"WHERE headers LIKE '(.+)%'$", configuration(name)[f"snapshot.select.statement.overrides.{place}.{TASKS.name}"]
    )
    assert wanted is not None
    assert captured_headers().startswith(wanted[1])


@pytest.mark.parametrize("name", DATABASES)
def test_all_that_differs_between_places_comes_from_the_environment(name: str) -> None:
    text = (DEBEZIUM / f"{name}.json").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{env:(\w+)\}", text)) <= GIVEN
    assert "EnvVarConfigProvider" in (DEBEZIUM / "worker.properties").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DATABASES)
def test_every_transform_and_predicate_that_is_named_is_there(name: str) -> None:
    its = configuration(name)
    for transform in its["transforms"].split(","):
        assert its[f"transforms.{transform}.type"]
    named = {value for option, value in its.items() if option.endswith(".predicate")}
    assert named == set(its["predicates"].split(","))
    for predicate in named:
        assert its[f"predicates.{predicate}.type"]


def test_postgresql_tells_of_rows_that_were_written_as_captured_ones_are() -> None:
    words = (DEBEZIUM / "postgresql.sql").read_text(encoding="utf-8")
    assert f"FOR TABLE {TASKS.name} WHERE (status = {Status.SUCCESS.value}) WITH (publish = 'insert');" in words
    assert f"CREATE PUBLICATION {configuration('postgresql')['publication.name']} " in words
