"""What is deleted or dropped is in a file first; where it cannot be, it stays."""

from __future__ import annotations

import errno
import itertools
import json
import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, null, update

from asyncflow import Status, cli
from asyncflow.errors import OptionError
from asyncflow.events import ArchiveGoesOn, ArchiveHeldUp, NumberedTableDropped, SettledRowsDeleted
from asyncflow.outbox.tables import OVERFLOWN, RESULT_STAGE
from asyncflow.scheduler.archive import archive, table_archive
from asyncflow.scheduler.archive.reader import check, files_of, rows_of
from asyncflow.scheduler.archive.row_archive import RowArchive
from asyncflow.scheduler.upkeep.cleaner import Cleaner
from asyncflow.scheduler.upkeep.rolling import keeper
from tests.integration.conftest import Schedule
from tests.integration.scheduler.upkeep.rolling.conftest import Rolled, clean, cleaning, finish
from tests.integration.scheduler.writing import alter, long_ago, publish, publish_many
from tests.support.application import Application

Capsys = pytest.CaptureFixture[str]
FULL = OSError(errno.ENOSPC, "No space left on device")


def cleaner(schedule: Schedule, place: Path, **options: Any) -> Cleaner:
    scheduler = schedule(archive_directory=str(place), **options)
    scheduler.ownership.acquire()
    return scheduler.machinery.staff.cleaner


def settled(application: Application, count: int, status: Status = Status.SUCCESS) -> set[str]:
    ids = publish_many(application, count)
    alter(application, f"status = {int(status)}", "status = 0")
    long_ago(application)
    return set(map(str, ids))


def archived(place: Path) -> list[dict[str, Any]]:
    return [row for path in files_of([str(place)]) for row in rows_of(path)]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Let the disk be full while the list holds True; what failed is tried again at once."""
    state, sync = [True], os.fsync

    def fsync(number: int) -> None:
        if state[0]:
            raise FULL
        sync(number)

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr(archive, "_PATIENCE_SECONDS", 0.0)
    yield state
    state[0] = False


def test_rows_are_archived_before_they_are_deleted(
    application: Application, schedule: Schedule, tmp_path: Path
) -> None:
    publish(application, b"\xff\x00", content_type="application/x", key="A", headers={"who": "ann"})
    ids = settled(application, 250) | {str(row.id) for row in application.rows()}
    failed = settled(application, 3, Status.FAILED)
    publish_many(application, 2)
    one = cleaner(schedule, tmp_path, cleaning_batch=120)
    clean(one)
    assert set(application.statuses()) == {Status.PENDING}
    one.end()
    rows = archived(tmp_path)
    assert {row["id"] for row in rows} == ids | failed
    assert len(rows) == len(ids | failed)
    assert {row["status"] for row in rows} == {"SUCCESS", "FAILED"}
    (first,) = (row for row in rows if row["task_key"] == "A")
    assert first["payload"] == {"base64": "/wA="}
    assert json.loads(first["headers"]) == {"who": "ann", "content-type": "application/x"}
    assert first["order_time"].startswith("2020-01-01T00:00:00")
    assert [check(path).fault for path in files_of([str(tmp_path)])] == [None]


def test_a_disk_that_is_full_deletes_nothing_and_is_found(
    application: Application, schedule: Schedule, tmp_path: Path, full: list[bool]
) -> None:
    ids = settled(application, 5)
    one = cleaner(schedule, tmp_path)
    clean(one)
    assert len(application.rows()) == 5
    assert application.signals.of(SettledRowsDeleted) == []
    (told,) = application.signals.of(ArchiveHeldUp)
    assert (told.directory, told.reason) == (str(tmp_path), f"OSError: {FULL}")
    full[0] = False
    clean(one)
    assert application.rows() == []
    assert len(application.signals.of(ArchiveGoesOn)) == 1
    one.end()
    assert {row["id"] for row in archived(tmp_path)} == ids


def test_each_day_has_a_file(sqlite_application: Application, tmp_path: Path) -> None:
    application, days = sqlite_application, [date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 2)]
    ids = publish_many(application, 3)
    rows = RowArchive(application.outbox, tmp_path, iter(days).__next__)
    with application.engine.connect() as connection:
        for task_id in ids:
            rows.write(connection, [task_id.bytes])
    rows.seal()
    first, second = files_of([str(tmp_path)])
    assert (check(first).rows, check(second).rows) == (2, 1)
    assert "-rows-20260101-" in first.name
    assert check(first).is_sealed


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"archive_directory": "/no/such/directory"}, "which is no directory here"),
        ({"archive_directory": 7}, "give the path of a directory, as text"),
        ({"archive_directory": "", "on_success": "keep"}, "give the path of a directory, as text"),
        ({"archive_directory": ".", "on_success": "delete"}, "leave one of them out"),
    ],
    ids=["missing", "number", "empty", "contradiction"],
)
def test_a_place_that_cannot_be_one_is_refused_before_the_start(
    options: dict[str, Any], told: str, sqlite_application: Application, made: list[Any]
) -> None:
    def start() -> None:
        made.append(sqlite_application.scheduler(**options))
        made[0].start()

    with pytest.raises(OptionError, match=told):
        start()


# -- numbered tables ---------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no step of the tables wait for the one before, and no slice hold more than a page."""
    for name in ("_PAUSE_SECONDS", "_PATIENCE_SECONDS", "GRACE_SECONDS"):
        monkeypatch.setattr(keeper, name, 0.0)
    monkeypatch.setattr(table_archive, "_SLICE_SECONDS", 0.0)
    monkeypatch.setattr(table_archive, "_PAGE", 30)


@pytest.fixture
def rolled(engine: Engine, hasty: None) -> Rolled:
    """Give an application whose tables are over as soon as they are closed."""
    return Rolled(engine, keep=timedelta(0))


def finish_with_results(application: Rolled, count: int) -> set[str]:
    ids, tasks = publish_many(application, count), application.outbox.tasks
    finish(application, ids)
    with application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id == ids[0]).values(stage=RESULT_STAGE, context=OVERFLOWN))
        connection.execute(insert(application.outbox.contexts), {"task_id": ids[0], "context": '"large"'})
    return set(map(str, ids))


def steps(one: Cleaner, most: int = 60) -> Iterator[int]:
    """Step so often, and tell how often that was."""
    for number in itertools.islice(itertools.count(1), most):
        one.step()
        yield number


def test_a_table_is_archived_whole_before_it_is_dropped_whoever_goes_on(rolled: Rolled, tmp_path: Path) -> None:
    ids = finish_with_results(rolled, 100)
    dropped = rolled.signals
    with cleaning(rolled, archive_directory=str(tmp_path)) as one:
        for _ in steps(one):
            if any(path.name.endswith(".part") for path in tmp_path.iterdir()):
                break
    assert not dropped.of(NumberedTableDropped)
    assert 0 < len(archived(tmp_path)) < 100
    with cleaning(rolled, archive_directory=str(tmp_path)) as other:
        for _ in steps(other):
            if dropped.of(NumberedTableDropped):
                break
    assert dropped.of(NumberedTableDropped)
    rows = archived(tmp_path)
    assert len(rows) == 100
    assert {row["id"] for row in rows} == ids
    assert [row["context"] for row in rows if row["context"]] == ['"large"']
    assert [check(path)[1:] for path in files_of([str(tmp_path)])] == [(100, True, None)]


def test_a_table_that_came_back_open_from_a_backup_is_archived_with_what_went_in_since(
    rolled: Rolled, tmp_path: Path
) -> None:
    ids = finish_with_results(rolled, 100)
    with cleaning(rolled, archive_directory=str(tmp_path)) as one:
        for _ in steps(one):
            if any(path.name.endswith(".jsonl.gz") for path in tmp_path.iterdir()):
                break
        assert rolled.ids_in(1)
        table = rolled.outbox.numbered_tables.table(1) if rolled.outbox.numbered_tables else None
        assert table is not None
        kept = min(rolled.ids_in(1))
        with rolled.engine.begin() as connection:  # as it was when the backup was taken
            connection.execute(table.delete().where(table.c.id != kept))
            connection.execute(rolled.positions.delete().where(rolled.positions.c.number > 1))
            before = {"row_count": 1, "closed_at": null(), "forgotten_at": null()}
            connection.execute(rolled.positions.update().values(before))
        since = finish_with_results(rolled, 99)
        for _ in steps(one):
            if rolled.signals.of(NumberedTableDropped):
                break
    assert rolled.signals.of(NumberedTableDropped)
    assert {row["id"] for row in archived(tmp_path)} == ids | since


def test_a_table_that_cannot_be_archived_is_not_dropped(rolled: Rolled, tmp_path: Path, full: list[bool]) -> None:
    ids = finish_with_results(rolled, 100)
    with cleaning(rolled, archive_directory=str(tmp_path)) as one:
        list(steps(one, 20))
        assert rolled.numbers()[1] == (100, "closed")
        assert len(rolled.signals.of(ArchiveHeldUp)) == 1
        full[0] = False
        for _ in steps(one):
            if rolled.signals.of(NumberedTableDropped):
                break
    assert rolled.signals.of(NumberedTableDropped)
    assert {row["id"] for row in archived(tmp_path)} == ids


# -- the command -------------------------------------------------------------------------------------------


def test_the_command_reads_and_checks_without_a_database(
    sqlite_application: Application, tmp_path: Path, capsys: Capsys
) -> None:
    application, place = sqlite_application, tmp_path / "archive"
    place.mkdir()
    publish(application, {"n": 1}, key="A")
    publish(application, {"n": "a\u00a0\u0085\u202e\U000e0001"}, key="B")
    rows = RowArchive(application.outbox, place)
    with application.engine.connect() as connection:
        rows.write(connection, [row.id.bytes for row in application.rows()])
    assert cli.main(["archive", "check", str(place)]) == 0
    assert "2 rows  well, and not ended yet" in capsys.readouterr().out
    rows.seal()
    assert cli.main(["archive", "read", str(place), "--key", "A", "--status", "pending"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["payload"] == '{"n":1}'
    assert cli.main(["archive", "read", str(place), "--key", "B"]) == 0
    line = capsys.readouterr().out.rstrip("\n")
    assert line.isprintable()
    assert json.loads(json.loads(line)["payload"]) == {"n": "a\u00a0\u0085\u202e\U000e0001"}
    (path,) = files_of([str(place)])
    path.write_bytes(path.read_bytes()[:-2])
    assert cli.main(["archive", "check", "--json", str(place)]) == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert "in the middle" in told["fault"]
    assert cli.main(["archive", "read", str(place)]) == 1
    assert cli.main(["archive", "read", str(place / "nothing")]) == 1
