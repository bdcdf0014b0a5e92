"""RollOver: what it takes, and what it refuses with a word about the remedy."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import MetaData, String, create_engine
from sqlalchemy.orm import DeclarativeBase, mapped_column

from asyncflow import Outbox, RollOver, Scheduler, TaskMixin
from asyncflow.errors import OptionError
from asyncflow.integrations.alembic import include_name_of
from asyncflow.testing import MemoryPublisher


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rows": 99}, "rows of RollOver is 99; give a whole number from 100 to"),
        ({"rows": 1e6}, "rows of RollOver is 1000000.0; give a whole number"),
        ({"rows": True}, "rows of RollOver is True; give a whole number"),
        ({"age": timedelta(0)}, "age of RollOver is .*; give a timedelta of 1 seconds to 3650 days"),
        ({"keep": 3600}, "keep of RollOver is 3600; give a timedelta"),
        ({"keep": timedelta(days=-1)}, "keep of RollOver is .*; give a timedelta of 0 seconds"),
        ({"after": None}, "after of RollOver is None; give a timedelta"),
        ({"row": 5}, r"RollOver has no option 'row' \(did you mean 'rows'\?\)"),
        ({"keep": timedelta(days=100_000)}, "keep of RollOver is .* to 3650 days"),
    ],
)
def test_nonsense_is_refused_with_the_field_the_value_and_what_is_allowed(options: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        RollOver(**options)


def test_an_outbox_takes_no_other_roll_over() -> None:
    given: Any = 5_000_000
    with pytest.raises(OptionError, match="roll_over is 5000000; give a RollOver, such as"):
        Outbox(MetaData(), roll_over=given)


def test_without_roll_over_there_is_no_table_of_positions() -> None:
    metadata = MetaData()
    assert [table.name for table in Outbox(metadata).all_tables] == list(metadata.tables)
    assert "asyncflow_schedule_pos" not in metadata.tables


def test_with_it_the_positions_are_declared_and_no_numbered_table_is() -> None:
    metadata = MetaData()
    Outbox(metadata, prefix="shop_", schema="sales", roll_over=RollOver())
    assert "sales.shop_schedule_pos" in metadata.tables
    assert not [name for name in metadata.tables if name.endswith("_1")]


def test_a_numbered_table_has_the_columns_that_the_application_added() -> None:
    class Base(DeclarativeBase):
        pass

    outbox = Outbox(Base.metadata, roll_over=RollOver())

    class OwnTask(TaskMixin, Base):
        tenant = mapped_column(String(20), nullable=True)

    assert outbox.numbered_tables is not None
    table = outbox.numbered_tables.table(7)
    assert table.name == "asyncflow_task_7"
    assert list(table.columns.keys()) == list(outbox.tasks.columns.keys())
    assert {index.name for index in table.indexes} == {"ix_asyncflow_task_7_head", "ix_asyncflow_task_7_key"}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"on_success": "delete"}, "on_success is 'delete', and the outbox has roll_over"),
        ({"success_retention_seconds": 60.0}, "success_retention_seconds is 60.0, .* give `keep` of RollOver"),
        ({"success_retention_seconds": None}, "success_retention_seconds is None, .* give `keep` of RollOver"),
    ],
)
def test_a_second_way_for_finished_rows_to_go_is_refused(option: Any, said: str) -> None:
    outbox = Outbox(MetaData(), roll_over=RollOver())
    with pytest.raises(OptionError, match=said):
        Scheduler(create_engine("sqlite://"), outbox, {"kafka": MemoryPublisher()}, **option)


@pytest.mark.parametrize(
    ("name", "is_included"),
    [
        ("asyncflow_task", True),
        ("asyncflow_task_1", False),
        ("asyncflow_task_4711", False),
        ("asyncflow_task_01", True),
        ("asyncflow_task_1_old", True),
        ("asyncflow_schedule_pos", True),
        ("my_asyncflow_task_1", True),
    ],
)
def test_alembic_is_told_of_no_numbered_table_and_of_all_others(name: str, is_included: bool) -> None:
    include = include_name_of()
    assert include(name, "table", {"schema_name": None}) is is_included
    assert include(name, "index", {"schema_name": None, "table_name": "t"})
    assert include_name_of("shop_")(name, "table", {})


def test_two_outboxes_of_the_same_tables_roll_over_by_the_same_options() -> None:
    metadata = MetaData()
    first = Outbox(metadata, roll_over=RollOver(rows=1000))
    Outbox(metadata, roll_over=RollOver(rows=1000))
    Outbox(metadata)
    with pytest.raises(OptionError, match=r"another Outbox on the same tables has RollOver.*rows=1000"):
        Outbox(metadata, roll_over=RollOver(rows=2000))
    assert first.numbered_tables is not None
