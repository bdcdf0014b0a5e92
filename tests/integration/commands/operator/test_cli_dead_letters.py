"""``asyncflow dead-letters`` and ``asyncflow audit`` in this process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import URL, Engine, update

from asyncflow import Message, Status, cli
from asyncflow.integrations.encryption import AesGcm, make_key
from asyncflow.outbox.look_up import key_rows
from asyncflow.scheduler import DeadLetters, Rejected
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application

Run = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def run(database_url: URL, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the test's database."""
    monkeypatch.setenv("ASYNCFLOW_DATABASE_URL", database_url.render_as_string(hide_password=False))

    def command(*arguments: str) -> tuple[int, str, str]:
        return cli.main(arguments), *capfd.readouterr()

    return command


@pytest.fixture
def failed(application: Application) -> list[UUID]:
    """Have three dead letters."""

    class Rejecting(MemoryPublisher):
        def publish(self, batch: object) -> list[Rejected]:
            return [Rejected("too large") for _ in batch]  # type: ignore[attr-defined]

    with application.session() as session, session.begin():
        messages = [Message({"n": number}, key=f"A{number}") for number in range(3)]
        ids = application.outbox.publish_many(session, "user.registered", messages)
    application.scheduler(Rejecting()).drain()
    return ids


def test_an_encrypted_payload_is_hidden_from_a_command_without_keys(run: Run, engine: Engine) -> None:
    closed = Application(engine, encryption=AesGcm({"k1": make_key()}, "k1"))
    with closed.session() as session, session.begin():
        task_id = closed.outbox.publish(session, "user.registered", {"n": "secret"})
    code, out, _ = run("dead-letters", "show", "--id", str(task_id))
    assert code == 0
    assert "hidden: the payload is encrypted, and this process has no encryption" in out
    assert "A256GCM, key 'k1'" in out
    assert "secret" not in out + run("dead-letters", "show", "--id", str(task_id), "--json")[1]


def test_dead_letters_are_listed_page_by_page_and_shown(run: Run, failed: list[UUID]) -> None:
    code, out, _ = run("dead-letters", "list", "--type", "user.registered", "--limit", "2")
    assert code == 0
    assert out.count("too large") == 2
    cursor = out.split("--after ")[1].strip()
    rest = run("dead-letters", "list", "--type", "user.registered", "--after", cursor)[1]
    assert all(f"{task_id} " in out + rest for task_id in failed)
    assert "--after" not in rest
    assert "(no dead letters)" in run("dead-letters", "list", "--key", "B1")[1]

    code, out, _ = run("dead-letters", "show", "--id", str(failed[0]))
    assert code == 0
    for told in (str(failed[0]), "FAILED", '{"n":0}', "A0", "too large"):
        assert told in out
    code, _, errors = run("dead-letters", "show", "--id", str(uuid4()))
    assert (code, "there is no task" in errors) == (1, True)


def test_a_dead_letter_behind_many_tasks_of_its_key_is_listed_and_shown_before_a_change(
    application: Application, run: Run, failed: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rows, "MOST_EXAMINED", 1)
    tasks = application.outbox.tasks
    for place in range(3):
        with application.session() as session, session.begin():
            (other,) = application.outbox.publish_many(session, "user.registered", [Message({}, key="A2")])
        with application.engine.begin() as connection:
            long_ago = timedelta(days=place - 9)
            connection.execute(update(tasks).where(tasks.c.id == other).values(created_at=long_ago))
    words, pages = ("dead-letters", "list", "--key", "A2", "--limit", "1"), 1
    out = run(*words)[1]
    while str(failed[2]) not in out:
        assert "(none so far)" in out
        out, pages = run(*words, "--after", out.split("--after ")[1].strip())[1], pages + 1
    assert pages == 3
    assert str(failed[2]) in run("dead-letters", "replay", "--key", "A2")[1]
    assert run("dead-letters", "replay", "--key", "A2", "--yes")[1] == "1 task replayed\n"


@pytest.mark.parametrize(
    ("action", "done", "statuses"),
    [
        ("replay", "replayed", [Status.PENDING] * 3),
        ("cancel", "cancelled", [Status.CANCELLED] * 3),
        ("discard", "discarded", []),
    ],
)
def test_a_change_is_shown_first_and_done_with_yes(
    application: Application, run: Run, failed: list[UUID], action: str, done: str, statuses: list[int]
) -> None:
    words = ("dead-letters", action, "--type", "user.registered", "--actor", "ann", "--reason", "broker mended")
    code, out, _ = run(*words)
    assert code == 2
    assert f"nothing was changed; add --yes to {action} them" in out
    assert application.statuses() == [Status.FAILED] * 3

    code, out, _ = run(*words, "--yes")
    assert (code, out) == (0, f"3 tasks {done}\n")
    assert application.statuses() == statuses

    code, out, _ = run("audit")
    assert code == 0
    assert out.count("broker mended") == 3
    assert all(str(task_id) in out for task_id in failed)
    assert run("audit", "--id", str(failed[0]))[1].count("ann") == 1
    assert run("audit", "--limit", "1")[1].count("ann") == 1


def test_ids_are_changed_and_what_is_left_alone_is_told(application: Application, run: Run, failed: list[UUID]) -> None:
    other = str(uuid4())
    code, out, _ = run("dead-letters", "replay", "--id", str(failed[0]), other, "--yes", "--per-second", "5")
    assert (code, out) == (0, f"1 task replayed\nleft alone: {other} is missing\n")
    assert application.statuses() == [Status.PENDING, Status.FAILED, Status.FAILED]


def test_the_letters_of_one_group_are_changed_and_no_others(
    application: Application, run: Run, failed: list[UUID]
) -> None:
    class Rejecting(MemoryPublisher):
        def publish(self, batch: object) -> list[Rejected]:
            return [Rejected("no such topic") for _ in batch]  # type: ignore[attr-defined]

    with application.session() as session, session.begin():
        (other,) = application.outbox.publish_many(session, "user.registered", [Message({})])
    application.scheduler(Rejecting()).drain()
    groups = {one["count"]: one["fingerprint"] for one in orjson.loads(run("dead-letters", "groups", "--json")[1])}
    words = ("dead-letters", "replay", "--group", groups[3])

    code, out, _ = run(*words)
    assert code == 2
    assert "user.registered: too large: 3" in out
    assert all(str(task_id) in out for task_id in failed)
    assert str(other) not in out
    assert application.statuses() == [Status.FAILED] * 4

    assert run(*words, "--limit", "1", "--yes")[1].endswith("1 task replayed\n")
    assert orjson.loads(run(*words, "--yes", "--json")[1])["count"] == 2
    assert sorted(application.statuses()) == [Status.PENDING] * 3 + [Status.FAILED]
    assert DeadLetters(application.engine, application.outbox).inspect(other).status == Status.FAILED

    code, _, errors = run(*words, "--yes", "--hours", "2")
    assert (code, "has no dead letters of the last 2 hours" in errors) == (1, True)
    assert run("dead-letters", "discard", "--group", groups[1], "--yes")[1].endswith("1 task discarded\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--group", "g", "--type", "user.registered"), "in one way"),
        (("--group", "g", "--hours", "0"), "hours is 0"),
        (("--type", "user.registered", "--hours", "2"), "--hours is given without --group"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_group_is_named_alone_and_how_far_back_with_it(
    application: Application, run: Run, words: tuple[str, ...], told: str
) -> None:
    code, _, errors = run("dead-letters", "replay", *words, "--yes")
    assert (code, told in errors) == (1, True), errors


def test_no_more_than_the_limit_is_changed(application: Application, run: Run, failed: list[UUID]) -> None:
    assert run("dead-letters", "discard", "--all", "--limit", "2", "--yes")[1] == "2 tasks discarded\n"
    assert application.statuses() == [Status.FAILED]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--yes"], "name what to replay in one way: --id TASK"),
        (["--all", "--type", "x", "--yes"], "in one way: --id TASK"),
        (["--id", "x", "--yes"], "give a UUID"),
        (["--all", "--yes", "--per-second", "0"], "per_second is 0.0"),
        (["--all", "--yes", "--actor", ""], "actor is ''"),
        (["--all", "--yes", "--limit", "0"], "limit is 0; give a whole number from 1"),
        (["--group", "0" * 12, "--yes", "--limit", "0"], "limit is 0; give a whole number from 1"),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(
    application: Application, run: Run, failed: list[UUID], words: list[str], told: str
) -> None:
    code, _, errors = run("dead-letters", "replay", *words)
    assert code == 1
    assert told in errors
    assert application.statuses() == [Status.FAILED] * 3
