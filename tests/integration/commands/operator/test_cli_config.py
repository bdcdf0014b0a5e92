"""``asyncflow config`` in this process: shown, set and unset, with errors that tell the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL

from asyncflow import cli
from asyncflow.scheduler import Configurations, TypeConfig
from tests.support.application import Application

WIRING = """
from sqlalchemy import MetaData, create_engine
from asyncflow import Outbox, Scheduler
from asyncflow.testing import MemoryPublisher

outbox = Outbox(MetaData())
outbox.message("user.registered")
outbox.task("render", concurrency=4)(lambda: None)
scheduler = Scheduler(create_engine({url!r}), outbox, {{"kafka": MemoryPublisher()}})
"""

Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def run(
    application: Application,
    database_url: URL,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run a command with ``module:attribute`` of a wiring of its own."""
    name = f"wiring_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(WIRING.format(url=database_url.render_as_string(hide_password=False)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("ASYNCFLOW_DATABASE_URL", raising=False)
    application.outbox.task("render", concurrency=4)

    def command(*arguments: str) -> tuple[int, str, str]:
        words = [f"{name}:scheduler" if word == "HERE" else word for word in arguments]
        return cli.main(words), *capfd.readouterr()

    return command


def configs(application: Application) -> dict[str, TypeConfig]:
    return Configurations(application.engine, application.outbox).all()


def test_options_are_set_listed_and_unset(application: Application, run: Run) -> None:
    code, out, _ = run("config", "set", "HERE", "--type", "render", "--option", "enabled=false", "limit=50")
    assert (code, out) == (0, "render: limit=50 enabled=false\n")
    assert configs(application)["render"] == TypeConfig(task_type="render", limit=50, enabled=False)

    code, out, _ = run("config", "list", "HERE")
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines()[1:]}
    assert code == 0
    assert lines["render"] == ["handler", "50*", "0", "300", "10", "1", "10", "false*", "4"]
    assert lines["user.registered"] == ["message", "-", "-", "-", "10", "1", "10", "true", "-"]

    code, out, _ = run("config", "unset", "HERE", "--type", "render", "--option", "enabled")
    assert (code, out) == (0, "render: limit=50\n")
    code, out, _ = run("config", "unset", "HERE", "--type", "render")
    assert (code, out) == (0, "render is as declared\n")
    assert configs(application)["render"] == TypeConfig(task_type="render")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--type", "render", "--option", "limits=5"], "did you mean 'limit'?"),
        (["--type", "render", "--option", "limit=five"], "limit is 'five'; give a whole number"),
        (["--type", "render", "--option", "limit"], "give NAME=VALUE"),
        (["--type", "rendr", "--option", "limit=5"], "did you mean 'render'?"),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(
    application: Application, run: Run, words: list[str], told: str
) -> None:
    code, _, errors = run("config", "set", "HERE", *words)
    assert code == 1
    assert told in errors
    assert configs(application)["render"] == TypeConfig(task_type="render")


def test_a_type_of_no_code_is_registered_and_shown(application: Application, run: Run) -> None:
    assert run("config", "set", "HERE", "--type", "elsewhere", "--register", "--option", "concurrency=3")[0] == 0
    out = run("config", "list", "HERE")[1]
    assert [line.split()[1] for line in out.splitlines() if line.startswith("elsewhere")] == ["registered"]
    assert configs(application)["elsewhere"].concurrency == 3


def test_the_status_tells_what_is_off(application: Application, run: Run) -> None:
    run("config", "set", "HERE", "--type", "render", "--option", "enabled=false")
    assert "render (off)" in run("status", "HERE")[1]
