"""The manners of the command line: what a person mistypes, pipes and forgets."""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine
from sqlalchemy.orm import Session

from asyncflow import Outbox, RejectTask, Scheduler, __version__, cli
from tests.support.snippets import ROOT
from tools.services.ports import choose

LONG = 150.0
UNKNOWN = "0198f3a2-5c1e-7d44-9b1f-3a5c7e9b1d20"


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give module:attribute of a Scheduler that has one dead letter."""
    url = f"sqlite:///{tmp_path}/shop.db"
    name = f"shop_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(
        "from sqlalchemy import MetaData, create_engine\n"
        "from asyncflow import Outbox, Scheduler\n"
        "outbox = Outbox(MetaData())\n"
        f"scheduler = Scheduler(create_engine({url!r}), outbox, {{}})\n"
    )
    monkeypatch.chdir(tmp_path)
    metadata, engine = MetaData(), create_engine(url)
    outbox = Outbox(metadata)
    metadata.create_all(engine)

    @outbox.task(max_retries=1)
    def pay() -> None:
        raise RejectTask("no money")

    with Session(engine) as session, session.begin():
        pay.enqueue(session)
    Scheduler(engine, outbox, {}).drain()
    yield f"{name}:scheduler"
    engine.dispose()


def letter(application: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["dead-letters", "list", application]) == 0
    found = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", capsys.readouterr().out)
    assert found is not None
    return found[0]


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"asyncflow {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["stauts"], "did you mean 'status'?"),
        (["dead-letters", "lst", "a:b"], "did you mean 'list'?"),
        (["dead-letters", "list", "a:b", "--tpye", "x"], "did you mean '--type'?"),
        (["run", "a:b", "--verbos=1", "--verbsoe"], "did you mean '--verbose'?"),
    ],
)
def test_a_mistyped_command_or_option_is_told_with_the_nearest(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([one for one in arguments if one != "--verbos=1"])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_mistyped_attribute_is_told_with_the_nearest(application: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", application.replace(":scheduler", ":schedular")]) == 1
    assert "has no 'schedular' (did you mean 'scheduler'?); name a Scheduler" in capsys.readouterr().err


def test_only_what_would_do_is_named_as_the_nearest(application: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["consume", application.replace(":scheduler", ":schedular")]) == 1
    assert "has no 'schedular'; name a Consumer" in capsys.readouterr().err


@pytest.mark.parametrize("columns", ["80", None])
def test_a_table_fits_the_terminal_of_a_person_and_is_whole_for_a_program(
    application: str, columns: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert cli.main(["tasks", "list", application]) == 0
    widest = max(map(len, capsys.readouterr().out.splitlines()))
    assert (widest <= 80) == (columns is not None)


def test_a_mistyped_module_is_told_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "market").mkdir()
    (tmp_path / "market" / "__init__.py").touch()
    (tmp_path / "market" / "wiring.py").touch()
    for wrong, right in (("merket:scheduler", "market"), ("market.wirng:scheduler", "market.wiring")):
        assert cli.main(["status", wrong]) == 1
        assert f"(did you mean '{right}'?)" in capsys.readouterr().err


_WITH_TYPE = [["dead-letters", "list"], ["tasks", "list"], ["tasks", "cancel", "--yes"], ["charts"]]
_WITH_TYPE += [["dead-letters", verb, "--yes"] for verb in ("replay", "cancel", "discard")]


@pytest.mark.parametrize("command", _WITH_TYPE, ids=" ".join)
def test_a_mistyped_type_is_told_with_the_nearest(
    application: str, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, told = [*command, "--type", "pya"], "no task type 'pya' is declared, set or has tasks (did you mean 'pay'?)"
    assert cli.main([*wrong, application]) == 1
    assert told in capsys.readouterr().err
    # A database alone does not know all that is declared.
    assert cli.main([*wrong, "--database-url", f"sqlite:///{tmp_path}/shop.db"]) == 0
    assert told in capsys.readouterr().err
    assert cli.main([*command, "--type", "pay", application]) == 0
    assert capsys.readouterr().err == ""


def test_a_mistyped_job_is_told(application: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["shards", "--job", "outbx", application]) == 1
    assert "there is no job 'outbx'" in capsys.readouterr().err


def test_within_an_application_what_is_mistyped_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, right in ((["stauts"], "status"), (["dead-letters", "list", "--tpye", "x"], "--type")):
        with pytest.raises(SystemExit):
            cli.main_in_application("flask outbox", wrong, lambda: pytest.fail("nothing is made for that"))
        assert f"did you mean '{right}'?" in capsys.readouterr().err


@pytest.mark.parametrize("order", ["target first", "target last"])
def test_ids_and_the_target_come_in_any_order(application: str, order: str, capsys: pytest.CaptureFixture[str]) -> None:
    task_id = letter(application, capsys)
    ids, target = ["--id", task_id], [application]
    where = [*target, *ids] if order == "target first" else [*ids, *target]
    assert cli.main(["dead-letters", "show", *where]) == 0
    assert re.search(r"attempts\W+1 of 2\b", capsys.readouterr().out)
    assert cli.main(["dead-letters", "replay", "--yes", *where]) == 0
    assert capsys.readouterr().out == "1 task replayed\n"


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["charts"], ["--type", "pay"]),
        (["purge", "--older-than", "1h"], ["--status", "failed", "success"]),
        (["config", "set", "--register", "--type", "pay"], ["--option", "limit=5", "enabled=true"]),
        (["config", "unset", "--type", "pay"], ["--option", "limit"]),
        (["dead-letters", "discard"], ["--id", UNKNOWN, UNKNOWN]),
        (["tasks", "cancel"], ["--id", UNKNOWN]),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_options_with_several_values_and_the_target_come_in_any_order(
    application: str, command: list[str], option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for words in ([application, *option], [*option, application]):
        told.append((cli.main([*command, *words]), capsys.readouterr()))
    assert told[0] == told[1]
    assert "no database named" not in told[0][1].err


def test_every_option_with_several_values_is_in_that_test() -> None:
    with_several = {
        option
        for command in walk(cli.parser())
        for action in command._actions
        if action.nargs in ("+", "*") and "target" in {one.dest for one in command._actions}
        for option in action.option_strings
    }
    assert with_several == {"--type", "--status", "--option", "--id"}


def walk(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from walk(command)


def test_the_last_value_of_an_option_is_no_target_where_a_database_is_named(
    application: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["charts", "--type", "pay", "shop:mail", "--database-url", f"sqlite:///{tmp_path}/shop.db"]) == 0
    assert "shop:mail" in capsys.readouterr().out


def test_a_mistyped_status_is_told_with_the_nearest(application: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["purge", "--older-than", "1h", "--status", "sucess", application]) == 1
    assert "--status is 'sucess' (did you mean 'success'?); give" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(application: str) -> None:
    command = f"{sys.executable} -m asyncflow.cli dead-letters list {application} | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_says_where_it_serves_and_refuses_a_database_without_tables(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    port = choose()
    command = [sys.executable, "-m", "asyncflow.cli", "serve", "--database-url", url, "--port", str(port)]
    command.append("--insecure-no-auth")
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONG, check=False)
    assert refused.returncode == 1
    assert "has no table asyncflow_" in refused.stderr
    assert cli.main(["init-db", "--database-url", url]) == 0
    serving = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert serving.stderr is not None
    try:
        lines = iter(serving.stderr.readline, "")
        assert any(f"Serving tasks on http://127.0.0.1:{port}" in line for line in lines)
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(LONG) == 0
    finally:
        serving.kill()
        serving.stderr.close()


def test_without_an_application_a_type_is_not_taken_for_declared(
    application: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_database = ["config", "set", "--database-url", f"sqlite:///{tmp_path}/shop.db", "--type", "pay"]
    values = ["--option", "limit=5"]
    assert cli.main([*of_database, *values]) == 1
    told = capsys.readouterr().err
    assert "no application was named" in told
    assert "module:attribute, or --register" in told
    assert cli.main(["config", "set", application, "--type", "pay", *values]) == 1
    assert "no application was named" not in capsys.readouterr().err
    assert cli.main([*of_database, "--register", *values]) == 0
    assert cli.main([*of_database, *values]) == 0  # it has a row by now
