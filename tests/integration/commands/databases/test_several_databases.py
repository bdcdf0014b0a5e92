"""Commands show several databases together and apart, and change the one that is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from asyncflow import Scheduler
from asyncflow.cli import main, main_in_application
from asyncflow.errors import OptionError
from asyncflow.scheduler import Rejected
from asyncflow.scheduler.branches.sources import engines_from_toml
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.branches.several import Several, several

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def spread(tmp_path: Path) -> Iterator[Several]:
    """Give an application in three files, with a dead letter in db1."""
    with several("sqlite", tmp_path) as its:
        its.publish("db1")
        its.scheduler(publisher=MemoryPublisher(lambda _: Rejected("too large"))).drain()
        its.publish("db0", 2)
        yield its


@pytest.fixture
def file(spread: Several, tmp_path: Path) -> str:
    """Give the file that names their databases."""
    path = tmp_path / "databases.toml"
    lines = [f'{name} = "{engine.url}"' for name, engine in spread.engines.items()]
    path.write_text("\n".join(["[databases]", *lines]))
    return str(path)


def in_application(spread: Several, *arguments: str) -> int:
    """Run a command on the application's own Scheduler."""
    return main_in_application("outbox", arguments, lambda: spread.scheduler())


def test_a_look_tells_of_all_of_them_under_their_names(file: str, capsys: Capture) -> None:
    assert main(["status", "--databases", file]) == 0
    told = capsys.readouterr().out
    assert [line for line in told.splitlines() if line.startswith("==")] == ["== db0", "== db1", "== db2"]
    assert "LATEST DEAD LETTERS" in told


def test_json_is_one_object_of_all_answers(file: str, capsys: Capture) -> None:
    assert main(["dead-letters", "list", "--databases", file, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert {name: len(page["letters"]) for name, page in told.items()} == {"db0": 0, "db1": 1, "db2": 0}


def test_one_that_is_named_is_shown_alone(file: str, capsys: Capture) -> None:
    assert main(["dead-letters", "list", "--databases", file, "--database", "db0"]) == 0
    told = capsys.readouterr().out
    assert "(no dead letters)" in told
    assert "==" not in told


def test_one_that_cannot_be_asked_is_told_of_and_keeps_none_of_the_others(
    file: str, spread: Several, capsys: Capture
) -> None:
    spread.application.Base.metadata.drop_all(spread.engines["db0"])
    assert main(["status", "--databases", file]) == 1
    told = capsys.readouterr()
    assert "== db0" in told.out
    assert "LATEST DEAD LETTERS" in told.out
    assert "the database has no table asyncflow_task" in told.err
    assert main(["status", "--databases", file, "--json"]) == 1
    assert "has no table asyncflow_task" in json.loads(capsys.readouterr().out)["db0"]["error"]


def test_a_task_is_found_in_whichever_it_lies(file: str, capsys: Capture) -> None:
    assert main(["dead-letters", "list", "--databases", file, "--json"]) == 0
    task_id = json.loads(capsys.readouterr().out)["db1"]["letters"][0]["task_id"]
    for command in (["dead-letters", "show", "--id", task_id], ["explain", task_id]):
        assert main([*command, "--databases", file]) == 0
        told = capsys.readouterr().out
        assert task_id in told
        assert [line for line in told.splitlines() if line.startswith("==")] == ["== db1"]
    nobodys = "01890000-0000-7000-8000-000000000000"
    assert main(["explain", nobodys, "--databases", file]) == 1
    assert nobodys in capsys.readouterr().err


def test_a_change_asks_which_one_is_meant(file: str, spread: Several, capsys: Capture) -> None:
    replay = ["dead-letters", "replay", "--all", "--yes", "--databases", file]
    assert main(replay) == 1
    assert "name one: --database, of db0, db1, db2" in capsys.readouterr().err
    assert main([*replay, "--database", "db1"]) == 0
    assert "1 task replayed" in capsys.readouterr().out
    spread.scheduler().drain()
    assert spread.sent("db1") == 1


def test_a_scheduler_of_several_is_shown_and_changed_likewise(spread: Several, capsys: Capture) -> None:
    assert in_application(spread, "status") == 0
    assert "== db2" in capsys.readouterr().out
    assert in_application(spread, "dead-letters", "list", "--database", "db1") == 0
    assert "user.registered" in capsys.readouterr().out
    assert in_application(spread, "dead-letters", "discard", "--all", "--yes") == 1
    assert "name one of the scheduler's databases: db0, db1, db2" in capsys.readouterr().err
    assert in_application(spread, "status", "--database", "db7") == 1
    assert "did you mean 'db0'?" in capsys.readouterr().err.replace("'db1'", "'db0'").replace("'db2'", "'db0'")


def test_the_tables_are_made_in_all_of_them(file: str, spread: Several, capsys: Capture) -> None:
    for engine in spread.engines.values():
        spread.application.Base.metadata.drop_all(engine)
    assert main(["init-db", "--databases", file]) == 0
    assert capsys.readouterr().out.count("are in sqlite") == 3
    assert main(["schema", "check", "--databases", file]) == 0


def test_the_environment_names_the_file(file: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("ASYNCFLOW_DATABASES", file)
    assert main(["doctor"]) in (0, 1)
    assert "== db2" in capsys.readouterr().out


def test_a_page_goes_on_in_one_of_them(file: str, capsys: Capture) -> None:
    assert main(["tasks", "list", "--databases", file, "--after", "x"]) == 1
    assert "--after goes on in one database" in capsys.readouterr().err


def test_a_name_for_a_single_database_is_refused(spread: Several, capsys: Capture) -> None:
    url = str(spread.engines["db0"].url)
    assert main(["status", "--database-url", url, "--database", "db0"]) == 1
    assert "names a single one; leave it out" in capsys.readouterr().err
    single = Scheduler(spread.engines["db0"], spread.outbox, {"kafka": MemoryPublisher()})
    assert main_in_application("outbox", ["status", "--database", "db0"], lambda: single) == 1
    assert "it has a single one, without a name" in capsys.readouterr().err


def test_urls_come_from_the_environment_where_the_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "databases.toml"
    path.write_text('[databases]\ndb0 = "env:SHOP_DB0"\ndb1 = "sqlite:///b.db"\n')
    with pytest.raises(OptionError, match=r"\$SHOP_DB0 is not set"):
        engines_from_toml(path)
    monkeypatch.setenv("SHOP_DB0", "sqlite:///a.db")
    engines = engines_from_toml(path, pool_size=7)
    assert {name: engine.url.database for name, engine in engines.items()} == {"db0": "a.db", "db1": "b.db"}
    assert engines["db0"].dialect.name == create_engine("sqlite://").dialect.name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("databases = 3", r"has no table \[databases\]"),
        ("[databases]", r"has no table \[databases\]"),
        ("[databases]\ndb0 = 3", r"has no table \[databases\]"),
        ('[databases]\n"a b" = "sqlite://"', "the name of a database is 'a b'"),
        ('[databases]\ndb0 = "secret"', "the URL of the database 'db0' cannot be read"),
        ("[databases", "is no TOML"),
        ('[databases]\ndb0 = "secret:ü"', "is no UTF-8: .*; save it as UTF-8"),
    ],
)
def test_a_file_that_names_no_databases_is_refused_without_its_urls(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "databases.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(OptionError, match=told) as refused:
        engines_from_toml(path)
    assert "secret" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"nowhere\.toml"):
        engines_from_toml(tmp_path / "nowhere.toml")
