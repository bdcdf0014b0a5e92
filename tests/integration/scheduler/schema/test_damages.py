"""Each damage to the tables is found, and what is printed mends it, as SQL and by Alembic; what is sound is let be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import URL, Column, Connection, Engine, MetaData, String, Table, text
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from asyncflow import Inbox, Outbox, TaskMixin, cli
from asyncflow.scheduler.schema.check import SchemaReport, check
from asyncflow.scheduler.schema.difference import DifferenceKind
from tests.integration.outbox.test_binds import CONVENTION
from tests.integration.scheduler.schema.damages import DAMAGES
from tests.support.databases import drop_everything, kind_of, open_engine

NOT_THERE_TO_DROP = 1091  # of MySQL, which has no words to drop what need not be there
Mend = Callable[[Connection, SchemaReport], None]


@pytest.fixture(scope="module")
def lasting_engine(database_url: URL) -> Iterator[Engine]:
    """Give an engine whose tables stay: each test mends what it has damaged."""
    engine = open_engine(database_url)
    outbox().tasks.metadata.create_all(engine)
    yield engine
    drop_everything(engine)
    engine.dispose()


def outbox(**options: Any) -> Outbox:
    metadata = MetaData()
    Inbox(metadata, **options)
    return Outbox(metadata, **options)


def by_sql(connection: Connection, report: SchemaReport) -> None:
    for operation in report.operations:
        for statement in operation.sql:
            connection.exec_driver_sql(statement)


def by_alembic(connection: Connection, report: SchemaReport) -> None:
    known = {"op": Operations(MigrationContext.configure(connection)), "sa": sa, "mysql": mysql}
    for operation in report.operations:
        for statement in operation.alembic:
            exec(statement, known)  # as a migration that it is copied into


def run(engine: Engine, statements: list[str]) -> None:
    with engine.begin() as connection:
        for statement in statements:
            try:
                connection.exec_driver_sql(statement)
            except OperationalError as error:
                if error.orig is None or error.orig.args[0] != NOT_THERE_TO_DROP:
                    raise


def test_every_damage_is_found_and_mended_by_what_is_printed(lasting_engine: Engine) -> None:
    """In one test: a thing that is done for each of thirty damages takes long where it begins anew each time."""
    engine, ours = lasting_engine, outbox()
    assert check(engine, ours).operations == ()
    for damage in DAMAGES[kind_of(engine)]:
        for mend in (by_sql, by_alembic):
            run(engine, damage.statements)
            found = check(engine, ours)
            assert [one.kind for one in found.differences] == damage.kinds, damage.what
            with engine.begin() as connection:
                mend(connection, found)
            left = [one.text for one in check(engine, ours).differences]
            assert left == [], f"{damage.what}, {mend.__name__}"


def with_convention(engine: Engine) -> Outbox:
    metadata = MetaData(naming_convention=CONVENTION)
    Inbox(metadata)
    metadata.create_all(engine)
    made = Outbox(metadata)
    metadata.create_all(engine)
    return made


def with_columns_of_its_own(engine: Engine) -> Outbox:
    class Base(DeclarativeBase):
        pass

    class OutboxTask(TaskMixin, Base):
        __table_args__ = (sa.Index("ix_tenant", "tenant"), sa.UniqueConstraint("tenant", "made_by"))
        tenant: Mapped[str | None] = mapped_column(String(40))
        region = Column(String(10), nullable=False, server_default="eu")
        made_by: Mapped[str] = mapped_column(String(10), default=lambda: "python")

    made = Outbox(Base.metadata)
    Base.metadata.create_all(engine)
    return made


def with_prefix(engine: Engine) -> Outbox:
    made = outbox(prefix="Shop-1_")
    made.tasks.metadata.create_all(engine)
    return made


def by_init_db(engine: Engine) -> Outbox:
    assert cli.main(["init-db", "--database-url", engine.url.render_as_string(hide_password=False)]) == 0
    return Outbox(MetaData())


def wider_than_needed(engine: Engine) -> Outbox:
    made = outbox()
    for table in (made.tasks, made.jobs):
        for column in table.columns:
            if isinstance(column.type, String) and column.type.length:
                column.type = sa.String(300).with_variant(
                    mysql.VARCHAR(300, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
                )
    long = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    made.tasks.c.context.type = sa.Text().with_variant(long, "mysql", "mariadb")
    made.tasks.append_column(Column("note", String(9)))
    sa.Index("ix_of_theirs", made.tasks.c.note, unique=True)
    made.tasks.metadata.create_all(engine)
    return Outbox(MetaData())


SOUND = [with_convention, with_columns_of_its_own, with_prefix, by_init_db, wider_than_needed]


@pytest.mark.parametrize("made", SOUND)
def test_what_is_sound_differs_in_nothing(engine: Engine, made: Callable[[Engine], Outbox]) -> None:
    ours = made(engine)
    assert [one.text for one in check(engine, ours).differences] == []


def test_a_table_in_another_schema_is_found_and_mended_there(database_url: URL, tmp_path: Any) -> None:
    engine = open_engine(database_url)
    place = f"{engine.url.database}_shop-2" if engine.dialect.name == "mysql" else "shop-2"
    ours = outbox(prefix="of_shop_", schema=place)
    quoted = engine.dialect.identifier_preparer.quote(place)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", lambda one, _: one.execute(f"ATTACH '{tmp_path}/other.db' AS {quoted}"))
    else:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {quoted}"))
    try:
        ours.tasks.metadata.create_all(engine)
        assert [one.text for one in check(engine, ours).differences] == []
        index = next(one for one in ours.tasks.indexes if str(one.name).endswith("_key"))
        for mend in (by_sql, by_alembic):
            with engine.begin() as connection:
                index.drop(connection)
                ours.turns.drop(connection)
            found = check(engine, ours)
            assert [one.kind for one in found.differences] == [
                DifferenceKind.INDEX_MISSING,
                DifferenceKind.TABLE_MISSING,
            ]
            with engine.begin() as connection:
                mend(connection, found)
            assert check(engine, ours).operations == ()
    finally:
        if engine.dialect.name != "sqlite":
            with engine.begin() as connection:
                cascade = " CASCADE" if engine.dialect.name == "postgresql" else ""
                connection.execute(text(f"DROP SCHEMA {quoted}{cascade}"))
        engine.dispose()


def test_the_inbox_is_looked_at_where_it_is_declared_or_there(sqlite_engine: Engine) -> None:
    without = Outbox(MetaData())
    without.tasks.metadata.create_all(sqlite_engine)
    assert check(sqlite_engine, without).operations == ()
    (missing,) = check(sqlite_engine, outbox()).differences
    assert (missing.kind, missing.table) == (DifferenceKind.TABLE_MISSING, "asyncflow_inbox")
    with sqlite_engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE asyncflow_inbox (consumer VARCHAR(100))")
    assert {one.table for one in check(sqlite_engine, without).differences} == {"asyncflow_inbox"}


def test_a_rebuilt_table_keeps_its_rows_and_what_the_application_put_there(sqlite_engine: Engine) -> None:
    ours = outbox()
    ours.tasks.metadata.create_all(sqlite_engine)
    theirs = [
        "CREATE TABLE seen (n INTEGER)",
        "DROP TABLE asyncflow_chart",
        "CREATE TABLE asyncflow_chart (hour INTEGER, task_type VARCHAR(100) COLLATE NOCASE NOT NULL, -- a, b (c\n"
        "writer BLOB NOT NULL, total BIGINT NOT NULL, counts TEXT NOT NULL, \"it's, (so)\" TEXT DEFAULT ', )', "
        "twice INTEGER GENERATED ALWAYS AS (total * 2), CHECK (total > 0), PRIMARY KEY (hour, task_type, writer))",
        "CREATE INDEX of_theirs ON asyncflow_chart (total)",
        "CREATE TRIGGER of_theirs_too AFTER INSERT ON asyncflow_chart BEGIN INSERT INTO seen VALUES (1); END",
        "INSERT INTO asyncflow_chart (hour, task_type, writer, total, counts) VALUES (1, 'a', x'00', 7, '{}')",
    ]
    run(sqlite_engine, theirs)
    found = check(sqlite_engine, ours)
    assert {one.kind for one in found.differences} == {DifferenceKind.COLLATION, DifferenceKind.LOST_NOT_NULL}
    with sqlite_engine.begin() as connection:
        by_sql(connection, found)
    assert check(sqlite_engine, ours).operations == ()
    with sqlite_engine.begin() as connection:
        rows = connection.exec_driver_sql('SELECT task_type, total, twice, "it\'s, (so)" FROM asyncflow_chart').all()
        assert [tuple(row) for row in rows] == [("a", 7, 14, ", )")]
        kept = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE name LIKE 'of_theirs%' ORDER BY name")
        assert kept.scalars().all() == ["of_theirs", "of_theirs_too"]
        with pytest.raises(sa.exc.IntegrityError, match="CHECK"):
            connection.exec_driver_sql("UPDATE asyncflow_chart SET total = 0")


def test_a_table_of_another_name_is_not_taken_for_ours(sqlite_engine: Engine) -> None:
    ours = outbox()
    ours.tasks.metadata.create_all(sqlite_engine)
    Table("asyncflow_task_2", MetaData(), Column("x", String(3), nullable=False)).create(sqlite_engine)
    assert check(sqlite_engine, ours).operations == ()


def test_a_table_whose_name_has_another_case_is_missing_where_names_have_cases(database_url: URL) -> None:
    engine, ours = open_engine(database_url), outbox()
    ours.tasks.metadata.create_all(engine)
    if engine.dialect.name != "mysql":
        pytest.skip("its catalogue has cases, or its names have none")
    with engine.connect() as connection:
        if connection.exec_driver_sql("SELECT @@lower_case_table_names").scalar_one():
            pytest.skip("its names have no cases")
    run(engine, ["RENAME TABLE asyncflow_audit TO Asyncflow_Audit"])
    try:
        (one,) = check(engine, ours).differences
        assert (one.kind, one.table) == (DifferenceKind.TABLE_MISSING, "asyncflow_audit")
        ours.audit_entries.create(engine)
        assert check(engine, ours).operations == ()
    finally:
        drop_everything(engine)
        engine.dispose()


def test_a_view_in_the_place_of_a_table_is_told_and_left_alone(engine: Engine) -> None:
    ours = outbox()
    ours.tasks.metadata.create_all(engine)
    run(engine, ["DROP TABLE asyncflow_audit", "CREATE VIEW asyncflow_audit AS SELECT name FROM asyncflow_job"])
    try:
        (operation,) = check(engine, ours).operations
        assert [one.text for one in operation.differences] == [
            "asyncflow_audit: needed is the table, found a view of its name"
        ]
        assert "give it another name" in str(operation.refused)
    finally:
        run(engine, ["DROP VIEW asyncflow_audit"])


def test_a_unique_index_on_an_expression_of_the_applications_own_is_let_be(engine: Engine) -> None:
    ours = outbox()
    ours.tasks.append_column(Column("note", String(40)))
    ours.tasks.metadata.create_all(engine)
    if kind_of(engine) != "mariadb":  # which has no such indexes
        run(engine, ["CREATE UNIQUE INDEX one_note ON asyncflow_task ((lower(note)))"])
    assert check(engine, outbox()).operations == ()
