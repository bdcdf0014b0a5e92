"""The command: what it prints, as text and as JSON, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from asyncflow import __version__, cli
from tests.integration.conftest import Schedule
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shop.db"


def called(*words: str) -> int:
    return cli.main(["schema", *words])


def damage(url: str, statement: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def answer(capsys: Capsys) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("prefix", ["asyncflow_", "shop_"])
def test_a_check_ends_with_1_until_an_upgrade_has_mended_all(url: str, prefix: str, capsys: Capsys) -> None:
    where = ["--database-url", url, "--prefix", prefix]
    assert cli.main(["init-db", *where]) == 0
    assert called("check", *where) == 0
    assert f"14 tables are as version {__version__} needs them" in capsys.readouterr().out
    damage(url, f"DROP INDEX ix_{prefix}task_key")
    assert called("check", *where) == 1
    told = capsys.readouterr().out
    assert f"{prefix}task  index-missing  ix_{prefix}task_key: needed is (task_key, created_at)" in told
    assert f"CREATE INDEX ix_{prefix}task_key ON {prefix}task (task_key, created_at);" in told
    assert f"op.create_index('ix_{prefix}task_key', '{prefix}task', ['task_key', 'created_at'])" in told
    assert "1 difference;" in told
    assert called("upgrade", *where, "--dry-run") == 0
    assert "would be run" in capsys.readouterr().out
    assert called("check", *where) == 1
    assert called("upgrade", *where) == 0
    assert "done" in capsys.readouterr().out
    assert called("check", *where) == 0


def test_json_tells_all_of_it_to_programs(url: str, capsys: Capsys) -> None:
    where = ["--database-url", url, "--json"]
    cli.main(["init-db", "--database-url", url])
    capsys.readouterr()
    assert called("check", *where) == 0
    sound = answer(capsys)
    assert (sound["differences"], sound["operations"], sound["other_versions"]) == ([], [], {})
    assert (sound["dialect"], sound["version"], len(sound["tables"])) == ("sqlite", __version__, 14)
    damage(url, "ALTER TABLE asyncflow_task DROP COLUMN stage")
    assert called("check", *where) == 1
    found = answer(capsys)
    (operation,) = found["operations"]
    assert found["differences"] == operation["mends"]
    assert found["differences"] == [
        {
            "kind": "column-missing",
            "table": "asyncflow_task",
            "name": "stage",
            "needed": "VARCHAR(100)",
            "found": "no such column",
        }
    ]
    assert operation["sql"] == ["ALTER TABLE asyncflow_task ADD COLUMN stage VARCHAR(100)"]
    assert operation["alembic"][0].startswith(
        "op.add_column('asyncflow_task', sa.Column('stage', sa.String(length=100)"
    )
    assert called("upgrade", *where) == 0
    assert [(one["left"], one["sql"]) for one in answer(capsys)["operations"]] == [(None, operation["sql"])]


def test_an_empty_database_lacks_all_tables_and_is_given_them(url: str, capsys: Capsys) -> None:
    assert called("check", "--database-url", url) == 1
    assert called("upgrade", "--database-url", url) == 0
    assert called("check", "--database-url", url) == 0
    assert "13 tables are as version" in capsys.readouterr().out.splitlines()[-1]


def test_a_living_instance_of_another_version_is_told(
    sqlite_application: Application, sqlite_schedule: Schedule, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ["--database-url", sqlite_application.engine.url.render_as_string(False)]
    sqlite_schedule().start()

    def told() -> str:
        assert called("check", *where) == 0
        return capsys.readouterr().err

    with monkeypatch.context() as later:
        later.setattr("asyncflow.commands.operator.schema.__version__", "9.9.9")
        eventually(lambda: f"is of {__version__}, and this is 9.9.9" in told())  # its first heartbeat tells
    assert told() == ""


def test_a_database_that_is_away_is_one_line(capsys: Capsys) -> None:
    assert called("check", "--database-url", "sqlite:////no/such/directory/file.db") == 1
    written = capsys.readouterr()
    assert (written.out, written.err.count("\n")) == ("", 1)
