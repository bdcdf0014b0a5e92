"""The verbs by which a person looks and changes: what they print, what programs read, and what they do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from asyncflow import JobSettings, Scheduler, ShardingContext, SimpleJob, Status, cli
from asyncflow.scheduler import Configurations
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.writing import alter, publish, publish_many
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

QUICK: dict[str, Any] = {"heartbeat_seconds": 0.1, "lease_seconds": 60.0, "max_pause_seconds": 0.1, "tick": 0.1}
Ask = Callable[..., Any]


@pytest.fixture
def ask(sqlite_application: Application, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command, which must end with ``code``; return what it printed, of JSON what that says."""
    return asking(sqlite_application.engine, capsys)


def asking(engine: Engine, capsys: pytest.CaptureFixture[str]) -> Ask:
    url = engine.url.render_as_string(hide_password=False)

    def ask(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert cli.main([*arguments, "--database-url", url]) == code
        out, err = capsys.readouterr()
        return json.loads(out) if "--json" in arguments else out if code == 0 else err

    return ask


def fail(application: Application, task_id: UUID, log: str) -> None:
    alter(application, f"status = 3, retry_count = 2, schedule_log = '{log}'", f"id = x'{task_id.hex}'")


def test_tasks_are_listed_page_by_page_shown_and_changed(sqlite_application: Application, ask: Ask) -> None:
    ids = publish_many(sqlite_application, 5)
    page = ask("tasks", "list", "--limit", "3", "--json")
    rest = ask("tasks", "list", "--limit", "3", "--json", "--after", page["next"])
    assert {row["id"] for row in page["tasks"] + rest["tasks"]} == set(map(str, ids))
    assert rest["next"] is None
    assert page["tasks"][0]["status"] == "PENDING"
    told = ask("tasks", "list", "--limit", "3")
    assert told.startswith("TASK ")
    assert page["tasks"][0]["id"] in told  # whole, for it is to be copied
    assert "\nmore: --after " in told
    assert ask("tasks", "list", "--status", "failed").endswith("(nothing)\n")
    shown = ask("tasks", "show", "--id", str(ids[0]), "--json")
    assert (shown["task_type"], shown["payload"], shown["status"]) == ("user.registered", '{"n":0}', "PENDING")
    assert ask("tasks", "cancel", "--id", str(ids[0]), code=2) == ""
    assert ask("tasks", "cancel", "--id", str(ids[0]), "--yes", "--json") == {"count": 1, "left": {}}
    fail(sqlite_application, ids[1], "2026-01-01T00:00:00Z it broke")
    assert ask("tasks", "replay", "--id", str(ids[1]), "--yes") == "1 task replayed\n"
    fail(sqlite_application, ids[1], "2026-01-01T00:00:00Z it broke")
    assert ask("tasks", "discard", "--id", str(ids[1]), "--yes") == "1 task discarded\n"
    entries = ask("audit", "--json")
    assert [entry["action"] for entry in entries] == ["discard", "replay", "cancel"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tasks", "list", "--limit", "0"], "limit is 0; give a whole number from 1 to 1000"),
        (["tasks", "list", "--limit", "1001"], "limit is 1001; give a whole number from 1 to 1000"),
        (["top", "--interval", "0"], "interval is 0.0; give a number from 0.5 to 86400"),
        (["top", "--interval", "nan", "--once"], "interval is nan; give a number from 0.5 to 86400"),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused_and_not_bent(ask: Ask, words: list[str], told: str) -> None:
    assert told in ask(*words, code=1)


def test_what_was_not_confirmed_is_told_to_programs_as_well(sqlite_application: Application, ask: Ask) -> None:
    ids = publish_many(sqlite_application, 12)
    alter(sqlite_application, "status = 3, order_time = '2020-01-01 00:00:00.000000'")
    told = ask("dead-letters", "replay", "--all", "--json", code=2)
    assert (told["count"], len(told["first"]), told["is_more"]) == (0, 10, True)
    told = ask("tasks", "cancel", "--id", str(ids[0]), "--json", code=2)
    assert told == {"count": 0, "first": [str(ids[0])], "is_more": False}
    told = ask("purge", "--older-than", "3d", "--status", "failed", "--json", code=2)
    assert told["found"] == [{"status": "FAILED", "task_type": "user.registered", "count": 12}]
    assert (told["deleted"], told["is_capped"]) == (0, False)
    assert len(sqlite_application.rows()) == 12


def test_options_and_instances_answer_programs(
    sqlite_application: Application, sqlite_schedule: Schedule, ask: Ask
) -> None:
    set_ones = ("config", "set", "--type", "user.registered", "--register", "--option", "limit=7", "--json")
    assert ask(*set_ones) == {"task_type": "user.registered", "options": {"limit": 7}}
    (told,) = ask("config", "list", "--json")
    assert told["options"]["limit"] == {"value": 7, "source": "table"}
    assert told["options"]["enabled"]["source"] == "declaration"
    assert ask("config", "unset", "--type", "user.registered", "--json")["options"] == {}
    scheduler = sqlite_schedule(**QUICK)
    scheduler.ownership.acquire()
    name = scheduler.ownership.owner
    assert ask("instances", "drain", "--name", name, "--json") == {"name": name, "drained": True}
    assert ask("instances", "undrain", "--name", name, "--json") == {"name": name, "drained": False}
    view = ask("top", "--json")
    assert (view["findings"], view["instances"][0]["name"], set(view)) == (
        [],
        name,
        {"findings", "instances", "charts", "report"},
    )
    scheduler.ownership.release()


def test_who_reads_chinese_reads_the_reasons_in_chinese(
    sqlite_application: Application, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = publish(sqlite_application, delay_seconds=7200)
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert ask("doctor") == "没有卡住的任务\n"
    assert "它还没有到期：入队时带有延迟" in ask("explain", str(task_id))
    assert "It is not due yet" in ask("explain", str(task_id), "--language", "en")
    assert ask("explain", str(task_id), "--json")["why"].startswith("It is not due yet")
    alter(sqlite_application, "order_time = '2026-01-01 00:00:00.000000'")
    told = ask("top", "--once")
    assert "没有调度器在运行，这里也还没有哪个取得过分片" in told
    assert "    处理： asyncflow run MODULE:SCHEDULER\n" in told


def test_who_interrupts_a_command_is_told_and_sees_no_traceback(
    sqlite_application: Application, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asyncflow.commands.operator.status.report", interrupt)
    assert ask("status", code=130) == "asyncflow: interrupted; what was done by then is done\n"


def test_dead_letters_are_grouped_by_what_they_died_of(sqlite_application: Application, ask: Ask) -> None:
    for number, task_id in enumerate(publish_many(sqlite_application, 3)):
        fail(sqlite_application, task_id, f"2026-01-01T00:00:00Z no user {number}")
    (group,) = ask("dead-letters", "groups", "--json")
    assert (group["task_type"], group["error"], group["count"]) == ("user.registered", "no user …", 3)
    told = ask("dead-letters", "groups").splitlines()
    assert told[0].startswith("GROUP")
    assert told[1].startswith(group["fingerprint"])
    assert len(ask("dead-letters", "list", "--json")["letters"]) == 3
    assert "hours is -1" in ask("dead-letters", "groups", "--hours", "-1", code=1)


def test_types_are_told_with_what_the_table_sets(sqlite_application: Application, ask: Ask) -> None:
    publish(sqlite_application)
    Configurations(sqlite_application.engine, sqlite_application.outbox).put("user.registered", enabled=False, limit=7)
    (told,) = ask("types", "--json")
    assert (told["task_type"], told["pending"], told["enabled"]) == ("user.registered", 1, False)
    assert told["options"] == {"limit": 7, "enabled": False}
    assert "limit=7 " in ask("types")
    assert ask("status", "--json")["types"][0]["pending"] == 1


def test_an_instance_is_drained_and_gets_its_shards_back(
    application: Application, schedule: Schedule, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = asking(application.engine, capsys)
    first, second = schedule(**QUICK), schedule(**QUICK)
    first.start()
    second.start()
    names = {first.ownership.owner, second.ownership.owner}

    def owned() -> dict[str, int]:
        return {one["name"]: one["shards"] for one in ask("instances", "list", "--json")}

    eventually(lambda: set(owned().values()) == {32})
    assert set(owned()) == names
    ask("instances", "drain", "--name", first.ownership.owner)
    eventually(lambda: owned() == {first.ownership.owner: 0, second.ownership.owner: 64})
    assert "leaving" in ask("instances", "list")
    assert {one["owner"] for one in ask("shards", "--json")} == {second.ownership.owner}
    publish_many(application, 5)
    eventually(lambda: application.statuses() == [Status.SUCCESS] * 5)
    ask("instances", "undrain", "--name", first.ownership.owner)
    eventually(lambda: set(owned().values()) == {32})
    assert "there is no instance 'nobody'" in ask("instances", "drain", "--name", "nobody", code=1)


def test_an_instance_with_a_fixed_share_is_not_drained(
    sqlite_application: Application, sqlite_schedule: Schedule, ask: Ask
) -> None:
    scheduler = sqlite_schedule(instance_count=1)
    scheduler.ownership.acquire()
    assert "has a fixed share" in ask("instances", "drain", "--name", scheduler.ownership.owner, code=1)
    scheduler.ownership.release()


def test_a_job_is_paused_in_every_instance_and_runs_again(
    sqlite_application: Application, made: list[Scheduler], ask: Ask
) -> None:
    runs: list[int] = []

    class Count(SimpleJob):
        def execute(self, context: ShardingContext) -> None:
            runs.append(context.sharding_item)

    job = Count("count", settings=JobSettings(cron=0.05, sharding_total_count=1))
    publishers = {"kafka": MemoryPublisher()}
    scheduler = Scheduler(sqlite_application.engine, sqlite_application.outbox, publishers, jobs=[job], **QUICK)
    made.append(scheduler)
    scheduler.start()
    eventually(lambda: len(runs) > 2)
    assert ask("jobs", "pause", "--name", "count").startswith("count is paused")
    (told,) = ask("jobs", "list", "--json")
    assert told["paused"]

    def rests() -> bool:
        before = len(runs)
        scheduler.ownership.refresh()
        ask("jobs", "list")
        return len(runs) == before

    eventually(lambda: all(rests() for _ in range(20)))
    assert json.loads(ask("jobs", "dump", "--name", "count"))["items"][0]["shard"] == 0
    ask("jobs", "resume", "--name", "count")
    count = len(runs)
    eventually(lambda: len(runs) > count + 1)
    assert "(did you mean 'count'?)" in ask("jobs", "pause", "--name", "cuont", code=1)


def test_periodic_tasks_are_told_with_their_due_times(
    sqlite_application: Application, sqlite_schedule: Schedule, ask: Ask
) -> None:
    @sqlite_application.outbox.task("report")
    def report() -> None: ...

    sqlite_application.outbox.periodic(report, "0 0 1 1 *", name="yearly")
    assert ask("periodic", "--json") == []
    scheduler = sqlite_schedule()
    scheduler.machinery.staff.timetable.step()
    (told,) = ask("periodic", "--json")
    assert (told["name"], told["cron"], told["last_due"], told["seconds_late"]) == ("yearly", "0 0 1 1 *", None, 0.0)
    assert told["next_due"].endswith("-01-01T00:00:00Z") or "-01-01T00:00:00" in told["next_due"]
    assert ask("periodic").splitlines()[1].startswith("yearly")
    scheduler.machinery.staff.timetable.close()


def test_the_view_of_all_is_shown_once_for_scripts(sqlite_application: Application, ask: Ask) -> None:
    publish(sqlite_application)
    told = ask("top", "--once")
    assert told.startswith("nothing is stuck\n")
    assert "INSTANCE" in told
    assert "user.registered" in told


def test_charts_are_told_with_their_course(sqlite_application: Application, ask: Ask) -> None:
    publish_many(sqlite_application, 3)
    sqlite_application.scheduler().drain()
    told = ask("charts", "--json", "--span", "3d")
    assert (told["step_seconds"], len(told["of_all"]["sent"]), sum(told["of_all"]["sent"])) == (600, 432, 3)
    assert [one["task_type"] for one in told["types"]] == ["user.registered"]
    heading, first, *_, last = ask("charts", "--type", "user.registered").splitlines()
    assert heading.startswith("TASK TYPE")
    assert first.split()[:5] == ["user.registered", "3", "0", "0", "0"]
    assert last.split()[:5] == ["(all)", "3", "0", "0", "0"]
    assert "(all)" in ask("top", "--once")
    assert "most is 101" in ask("charts", "--most", "101", code=1)


def test_charts_are_told_of_a_type_that_is_no_more(sqlite_application: Application, ask: Ask) -> None:
    publish_many(sqlite_application, 3)
    sqlite_application.scheduler().drain()
    charts, tasks = sqlite_application.outbox.charts, sqlite_application.outbox.tasks
    with sqlite_application.engine.begin() as connection:
        connection.execute(charts.update().where(charts.c.task_type != "").values(task_type="user.gone"))
        connection.execute(tasks.delete())
    assert ask("charts", "--type", "user.gone").splitlines()[1].split()[:2] == ["user.gone", "3"]


def test_a_job_is_called_and_a_periodic_task_has_its_verbs(
    sqlite_application: Application, made: list[Scheduler], ask: Ask
) -> None:
    runs: list[int] = []
    job = SimpleJob("count", lambda context: runs.append(1), settings=JobSettings(cron="0 0 1 1 *"))

    @sqlite_application.outbox.task("report")
    def report() -> None: ...

    sqlite_application.outbox.periodic(report, "0 0 1 1 *", name="yearly")
    publishers = {"kafka": MemoryPublisher()}
    scheduler = Scheduler(sqlite_application.engine, sqlite_application.outbox, publishers, jobs=[job], **QUICK)
    made.append(scheduler)
    scheduler.start()
    eventually(lambda: ask("periodic", "--json") != [])
    assert ask("jobs", "trigger", "--name", "count", "--actor", "ann", "--json") == {"name": "count", "items": 1}
    eventually(lambda: runs == [1])
    assert "its item has a run now" in ask("jobs", "trigger", "--name", "count")
    assert ask("periodic", "--pause", "yearly", "--json") == {"name": "yearly", "changed": True}
    assert " paused " in ask("periodic")
    assert "is paused" in ask("periodic", "--trigger", "yearly", code=1)
    assert ask("periodic", "--resume", "yearly") == "yearly is due again\n"
    assert ask("periodic", "--trigger", "yearly").startswith("yearly is due now")
    told = {(one["action"], one["task_type"], one["task_key"]) for one in ask("audit", "--json")}
    assert told == {
        ("trigger", "@job", "count"),
        ("pause", "@periodic", "yearly"),
        ("resume", "@periodic", "yearly"),
        ("trigger", "@periodic", "yearly"),
    }


def test_a_purge_shows_what_it_would_delete_and_waits_for_a_yes(sqlite_application: Application, ask: Ask) -> None:
    publish_many(sqlite_application, 3)
    sqlite_application.scheduler().drain()
    alter(sqlite_application, "order_time = '2020-01-01 00:00:00.000000'", "1 = 1")
    assert ask("purge", "--older-than", "3d", code=2) == ""
    assert len(sqlite_application.rows()) == 3
    assert ask("purge", "--older-than", "3d", "--yes", "--json") == {"deleted": 3}
    assert ask("purge", "--older-than", "3d") == "STATUS  TASK TYPE  TASKS\n(nothing)\n"
    assert "--older-than is 'long ago'; give a number with s, m, h or d" in ask(
        "purge", "--older-than", "long ago", code=1
    )


def test_a_drain_leaves_a_row_of_the_audit(
    sqlite_application: Application, sqlite_schedule: Schedule, ask: Ask
) -> None:
    scheduler = sqlite_schedule(**QUICK)
    scheduler.ownership.acquire()
    name = scheduler.ownership.owner
    ask("instances", "drain", "--name", name, "--actor", "ann", "--reason", "to be mended")
    ask("instances", "undrain", "--name", name, "--actor", "bob")
    told = [(one["action"], one["actor"], one["task_key"], one["reason"]) for one in ask("audit", "--json")]
    assert told == [("undrain", "bob", name, None), ("drain", "ann", name, "to be mended")]
    scheduler.ownership.release()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    told = capsys.readouterr().out
    for word in ("dead-letters", "replay", "per-second", "log-json"):
        assert word in told
