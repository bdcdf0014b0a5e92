"""Whatever a command changes on purpose, the audit tells by whom and why; and no command is forgotten here."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from asyncflow import SimpleJob, Status, cli
from asyncflow.scheduler import Audit
from asyncflow.scheduler.operator.instances import Instances
from asyncflow.scheduler.operator.schedules import Schedules
from tests.integration.conftest import Schedule
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

LOOKS = {
    *("status", "doctor", "explain", "top", "charts", "types", "shards", "audit", "completion", "periodic"),
    *("tasks list", "tasks show", "dead-letters list", "dead-letters groups", "dead-letters show"),
    *("instances list", "jobs list", "jobs dump", "config list", "schema check", "roll-over show"),
    *("archive read", "archive check"),
}
RUNS = {"run", "worker", "consume", "serve", "dashboard"}
MAKES_TABLES = {"init-db", "schema upgrade"}  # there may be no audit before
GROUP = "0123456789ab"

# What changes something: its options, where LETTER stands for a dead letter and INSTANCE for a running scheduler.
WRITES: dict[str, list[str]] = {
    "tasks replay": ["--id", "LETTER", "--yes"],
    "tasks cancel": ["--id", "LETTER", "--yes"],
    "tasks discard": ["--id", "LETTER", "--yes"],
    "dead-letters replay": ["--id", "LETTER", "--yes"],
    "dead-letters cancel": ["--id", "LETTER", "--yes"],
    "dead-letters discard": ["--id", "LETTER", "--yes"],
    "dead-letters note": ["--group", GROUP, "--text", "known"],
    "instances drain": ["--name", "INSTANCE"],
    "instances undrain": ["--name", "INSTANCE"],
    "jobs trigger": ["--name", "nightly"],
    "jobs pause": ["--name", "nightly"],
    "jobs resume": ["--name", "nightly"],
    "periodic --trigger": ["yearly"],
    "periodic --pause": ["yearly"],
    "periodic --resume": ["yearly"],
    "purge": ["--older-than", "1s", "--yes"],
    "config set": ["--type", "user.registered", "--register", "--option", "limit=7"],
    "config unset": ["--type", "user.registered", "--option", "limit"],
}
AT_REST = {"reshard": ["HERE"], "roll-over drop": ["--yes"]}  # no scheduler may run, or none that rolls over
WIRING = """
from sqlalchemy import MetaData, create_engine
from asyncflow import Outbox, Scheduler
from asyncflow.testing import MemoryPublisher

outbox = Outbox(MetaData(), shard_count=7)
outbox.message("user.registered")
scheduler = Scheduler(create_engine({url!r}), outbox, {{"kafka": MemoryPublisher()}})
"""


def leaves(parser: argparse.ArgumentParser, path: str = "") -> Iterator[str]:
    """Return the commands, each with its own one behind it."""
    within = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not within:
        yield path
        for action in parser._actions:
            if action.option_strings and path == "periodic" and action.dest in ("trigger", "pause", "resume"):
                yield f"{path} --{action.dest}"
    for action in within:
        for name, sub in action.choices.items():
            yield from leaves(sub, f"{path} {name}".strip())


def test_each_command_is_known_to_look_to_run_or_to_write() -> None:
    assert set(leaves(cli.parser())) == LOOKS | RUNS | MAKES_TABLES | WRITES.keys() | AT_REST.keys()


@pytest.fixture
def url(sqlite_application: Application) -> str:
    return sqlite_application.engine.url.render_as_string(hide_password=False)


def entries(application: Application) -> list[tuple[str, str | None, str]]:
    found = Audit(application.engine, application.outbox).entries()
    return [(one.actor, one.reason, one.action) for one in reversed(found)]


def letter(application: Application) -> UUID:
    """Write a dead letter of some age."""
    with application.session() as session, session.begin():
        made: UUID = application.outbox.publish(session, "user.registered", {})
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        values = {"status": int(Status.FAILED), "order_time": timedelta(hours=-1)}
        connection.execute(update(tasks).where(tasks.c.id == made).values(**values))
    return made


def test_every_verb_that_writes_leaves_a_row_with_who_did_it_and_why(
    sqlite_application: Application, sqlite_schedule: Schedule, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    application = sqlite_application
    application.outbox.periodic(application.outbox.task("report.due")(_report), "0 3 1 1 *", name="yearly")
    scheduler = sqlite_schedule(jobs=[SimpleJob("nightly", _run, cron="0 3 * * *")], tick=0.05)
    scheduler.start()
    instances = Instances(application.engine, application.outbox)
    eventually(instances.all)
    eventually(lambda: instances.shards("nightly"))
    eventually(lambda: Schedules(application.engine, application.outbox).periodic())
    known = {"INSTANCE": instances.all()[0].name}
    for verb, given in WRITES.items():
        before, known["LETTER"] = entries(application), str(letter(application))
        words = [known.get(word, word) for word in given]
        who = ["--actor", "ann"] if verb == "dead-letters note" else ["--actor", "ann", "--reason", "so"]
        if verb.startswith("periodic"):
            who = [*who, "--json"]
        code = cli.main([*verb.split(), *words, *who, "--database-url", url])
        assert code == 0, (verb, capsys.readouterr())
        (entry,) = entries(application)[len(before) :]
        assert entry[:2] == ("ann", "known" if verb == "dead-letters note" else "so"), verb


def test_another_number_of_shards_is_told_by_the_audit_once_it_is_recorded(
    sqlite_application: Application, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"shop_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(WIRING.format(url=url))
    monkeypatch.syspath_prepend(tmp_path)
    assert cli.main(["reshard", f"{name}:scheduler", "--actor", "ann", "--reason", "so"]) == 0
    (entry,) = Audit(sqlite_application.engine, sqlite_application.outbox).entries()
    assert (entry.actor, entry.reason, entry.action) == ("ann", "so", "reshard")
    assert (entry.task_type, entry.task_key) == ("@shards", "7")


def test_what_changes_nothing_leaves_no_row(sqlite_application: Application, url: str) -> None:
    options = ["--type", "user.registered", "--database-url", url, "--actor", "ann"]
    assert cli.main(["config", "set", *options, "--register", "--option", "limit=-1"]) == 1
    assert cli.main(["config", "unset", *options]) == 1  # nothing here declares it
    assert entries(sqlite_application) == []
    with sqlite_application.engine.connect() as connection:
        assert connection.execute(select(sqlite_application.outbox.schedule_cfgs)).all() == []


def _run(_: Any) -> None:
    """Do nothing."""


def _report() -> None:
    """Do nothing."""
