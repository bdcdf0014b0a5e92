"""Each page tells what the tables hold, on each database; and each form does what it says, with a trace."""

from __future__ import annotations

import asyncio
import html
import json
import re
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, insert, update

from asyncflow import SimpleJob, Status
from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard import Dashboard, DashboardSettings, Person, Role
from asyncflow.integrations.dashboard.pages import pages
from asyncflow.integrations.encryption import AesGcm, make_key
from asyncflow.scheduler import Audit, Configurations, DeadLetters
from asyncflow.scheduler.operator.audit import Act, Subject
from asyncflow.scheduler.operator.instances import Instances
from asyncflow.scheduler.operator.schedules import Schedules
from tests.integration.conftest import Schedule
from tests.integration.integrations.dashboard.browsing import (
    browser,
    dashboard_for,
    dead_letters,
    fingerprint_in,
    send,
    text_of,
)
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually


def audited(application: Application) -> list[tuple[str, str, str, str | None]]:
    entries = Audit(application.engine, application.outbox).entries()
    return [(one.actor, one.action, one.task_type, one.task_key) for one in reversed(entries)]


def publish(application: Application, count: int, **message: Any) -> list[UUID]:
    with application.session() as session, session.begin():
        return [application.outbox.publish(session, "user.registered", {"n": n}, **message) for n in range(count)]


# -- one pass over all of it, on each database -----------------------------------------------------------


async def test_every_page_is_there_on_every_database_and_every_deed_leaves_its_trace(
    application: Application, schedule: Schedule
) -> None:
    application.outbox.periodic(application.outbox.task("report.due")(_report), "0 3 1 1 *")
    letters = dead_letters(application, 5, key="A1")
    publish(application, 3, key="B1")
    with application.engine.begin() as connection:
        parked = {"task_type": "user.registered", "task_key": "A1", "shard": 1, "since": timedelta(seconds=-300)}
        connection.execute(insert(application.outbox.parked_keys).values(**parked, blocked_by=letters[0]))
    async with browser(dashboard_for(application)) as client:
        assert "A1" in text_of(await client.get("/keys"))  # before a scheduler sees that it waits for nothing
    scheduler = schedule(jobs=[SimpleJob("nightly", _run, cron="0 3 * * *")], tick=0.05)
    scheduler.start()
    eventually(lambda: Instances(application.engine, application.outbox).all())
    eventually(lambda: Schedules(application.engine, application.outbox).jobs())
    eventually(lambda: Schedules(application.engine, application.outbox).periodic())
    eventually(lambda: Instances(application.engine, application.outbox).shards("nightly"))
    name = Instances(application.engine, application.outbox).all()[0].name
    async with browser(dashboard_for(application)) as client:
        group = fingerprint_in(await client.get("/letters"))
        for page in pages():
            path = page.place.path.format(fingerprint=group, task_id=letters[0])
            answer = await client.get(f"/{path}", params={"name": "nightly"} if path == "job" else None)
            assert answer.status_code == 200, (path, text_of(answer))
        assert "dead-letters-new" in text_of(await client.get("/"))
        assert name in text_of(await client.get("/instances"))
        assert "nightly" in text_of(await client.get("/jobs"))
        for path, fields in (
            ("types/pause", {"type": "user.registered"}),
            ("types/resume", {"type": "user.registered"}),
            ("types/change", {"type": "user.registered", "option": "limit", "value": "7"}),
            ("instances/drain", {"name": name}),
            ("instances/undrain", {"name": name}),
            ("jobs/pause", {"name": "nightly"}),
            ("jobs/resume", {"name": "nightly"}),
            ("jobs/trigger", {"name": "nightly"}),
            ("jobs/item", {"name": "nightly", "item": "0", "off": "1"}),
            ("periodic/trigger", {"name": "report.due"}),
            ("periodic/pause", {"name": "report.due"}),
            ("periodic/resume", {"name": "report.due"}),
            (f"letters/{group}/note", {"note": "the bank is away"}),
            (f"task/{letters[0]}/cancel", {}),
            (f"letters/{group}/discard", {"id": [str(letters[1])]}),
        ):
            answer = await send(client, f"/{path}", {**fields, "reason": "so"})
            assert answer.status_code == 303, (path, text_of(answer))
            assert (await client.get(answer.headers["location"])).status_code == 200
        assert "nightly/0" in text_of(await client.get("/audit"))
    assert audited(application) == [
        ("maria", "pause", "user.registered", None),
        ("maria", "resume", "user.registered", None),
        ("maria", "configure", "user.registered", None),
        ("maria", "drain", "@instance", name),
        ("maria", "undrain", "@instance", name),
        ("maria", "pause", "@job", "nightly"),
        ("maria", "resume", "@job", "nightly"),
        ("maria", "trigger", "@job", "nightly"),
        ("maria", "disable", "@item", "nightly/0"),
        ("maria", "trigger", "@periodic", "report.due"),
        ("maria", "pause", "@periodic", "report.due"),
        ("maria", "resume", "@periodic", "report.due"),
        ("maria", "note", "@letters", group),
        ("maria", "cancel", "user.registered", "A1"),
        ("maria", "discard", "user.registered", "A1"),
    ]
    assert Configurations(application.engine, application.outbox).get("user.registered").limit == 7


def _report() -> None:
    """Do nothing."""


def _run(_: Any) -> None:
    """Do nothing."""


async def test_a_poison_message_is_mended_and_replayed_with_the_difference_in_the_audit(
    application: Application,
) -> None:
    payload = {"account_no": "A1", "password": "hunter2", "amount": "1.10"}
    (letter,) = dead_letters(application, 1, payload=payload, key="A1")
    async with browser(dashboard_for(application)) as client:
        page = await client.get(f"/task/{letter}")
        assert "hunter2" not in page.text
        shown = html.unescape(re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page.text, re.DOTALL)[1])  # type: ignore[index]
        seen = re.search(r'name="seen" value="(\w+)"', page.text)[1]  # type: ignore[index]
        mended = shown.replace("1.10", "2.20")
        answer = await send(client, f"/task/{letter}/mend", {"seen": seen, "payload": mended, "reason": "a typo"})
        assert answer.status_code == 303, text_of(answer)
        told = text_of(await client.get(f"/audit?task={letter}"))
        again = await send(client, f"/task/{letter}/mend", {"seen": seen, "payload": mended})
        assert again.status_code == 400
    state = DeadLetters(application.engine, application.outbox).inspect(letter)
    assert (state.status, state.retry_count) == (Status.PENDING, 0)
    assert json.loads(state.payload or b"") == {**payload, "amount": "2.20"}
    assert '- "amount": "1.10"' in told
    assert '+ "amount": "2.20"' in told
    assert "hunter2" not in told
    (entry,) = Audit(application.engine, application.outbox).entries()
    assert (entry.actor, entry.action, entry.reason) == ("maria", "mend", "a typo")


async def test_an_encrypted_payload_is_shown_where_its_key_is_and_mended_without_a_trace_of_it(engine: Engine) -> None:
    keys: dict[str, bytes | str] = {"k1": make_key()}
    closed = Application(engine, encryption=AesGcm(keys, "k1"))
    keyless = Application(engine, has_tables=True)
    (letter,) = dead_letters(closed, 1, payload={"account_no": "A-secret", "password": "hunter2"})
    async with browser(dashboard_for(keyless)) as client:
        told = text_of(await client.get(f"/task/{letter}"))
        assert "encrypted: A256GCM, key 'k1'" in told
        assert "this process has no encryption" in told
        assert "Mend and replay" not in told
        refused = await send(client, f"/task/{letter}/mend", {"seen": "0", "payload": "{}"})
        assert refused.status_code == 400
    async with browser(dashboard_for(closed)) as client:
        page = await client.get(f"/task/{letter}")
        assert "A-secret" in page.text
        assert "hunter2" not in page.text
        shown = html.unescape(re.search(r"<textarea[^>]*>\n(.*?)</textarea>", page.text, re.DOTALL)[1])  # type: ignore[index]
        seen = re.search(r'name="seen" value="(\w+)"', page.text)[1]  # type: ignore[index]
        mended = shown.replace("A-secret", "B-secret")
        answer = await send(client, f"/task/{letter}/mend", {"seen": seen, "payload": mended})
        assert answer.status_code == 303, text_of(answer)
        assert "secret" not in text_of(await client.get(f"/audit?task={letter}"))
        state = DeadLetters(engine, closed.outbox).inspect(letter)
        assert json.loads(state.payload or b"") == {"account_no": "B-secret", "password": "hunter2"}
        keys.clear()
        assert "its key is gone" in text_of(await client.get(f"/task/{letter}"))
    assert not any(b"secret" in row.payload for row in closed.rows())


async def test_search_walks_along_time_and_misses_and_repeats_nothing(application: Application) -> None:
    letters = dead_letters(application, 3)
    waiting = publish(application, 120)
    async with browser(dashboard_for(application)) as client:
        for query, expected in (
            ("", [*letters, *waiting]),
            ("?status=pending", waiting),
            ("?status=failed&since=2020-01-01", letters),
            ("?status=pending&since=2020-01-01T00:00&until=2100-01-01T00:00", waiting),
            ("?until=2020-01-01", []),
            ("?since=2100-01-01", []),
            (f"?id={letters[0]}", letters[:1]),
        ):
            found = await _walked(client, f"/search{query}")
            assert sorted(found) == sorted(expected), query
        newest = await _walked(client, "/search")
        assert newest == sorted([*letters, *waiting], reverse=True)


async def _walked(client: Any, path: str) -> list[UUID]:
    found: list[UUID] = []
    while True:
        page = await client.get(path)
        assert page.status_code == 200, text_of(page)
        found += map(UUID, re.findall(r'href="/task/([0-9a-f-]{36})"', page.text))
        more = re.search(r'href="([^"]*after=[^"]*)"', page.text.partition('class="pages"')[2])
        if more is None:
            return found
        path = html.unescape(more[1])


# -- the replay of what is shown -------------------------------------------------------------------------


async def test_the_first_is_replayed_and_then_exactly_the_rest_that_is_shown(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    ids = dead_letters(sqlite_application, 10)
    other = dead_letters(sqlite_application, 2, log="2026-01-02T03:04:05Z ValueError: another\n")
    async with browser(dashboard_for(sqlite_application)) as client:
        found = set(re.findall(r"letters/([0-9a-f]{12})", (await client.get("/letters")).text))
        assert len(found) == 2
        (group,) = [fp for fp in found if "amount" in (await client.get(f"/letters/{fp}")).text]
        page = await client.get(f"/letters/{group}")
        shown = re.findall(r'name="id" value="([^"]+)"', page.text)
        assert sorted(map(UUID, shown)) == sorted(ids)
        first = await send(client, f"/letters/{group}/replay", {"id": shown, "which": "first", "reason": "try"})
        assert sqlite_application.statuses().count(Status.PENDING) == 1
        assert "It is on its way." in text_of(await client.get(first.headers["location"]))
        sqlite_schedule(tick=0.05).start()
        eventually(lambda: sqlite_application.statuses().count(Status.SUCCESS) == 1)
        client_page = await _once_it_says(client, first.headers["location"], "It went well")
        rest = re.findall(r'name="id" value="([^"]+)"', client_page.text)
        assert sorted(rest) == sorted(shown[1:])
        late = dead_letters(sqlite_application, 1)
        await send(client, f"/letters/{group}/replay", {"id": rest, "which": "all", "per_second": "1000"})
    eventually(lambda: sqlite_application.statuses().count(Status.SUCCESS) == 10)
    left = {row.id for row in sqlite_application.rows() if row.status == Status.FAILED}
    assert left == {*other, *late}


async def _once_it_says(client: Any, path: str, words: str) -> Any:
    end = time.monotonic() + 60
    while words not in text_of(page := await client.get(path)):
        assert time.monotonic() < end, text_of(page)
        await asyncio.sleep(0.02)
    return page


async def test_a_replay_that_fails_again_says_that_the_rest_would_too(sqlite_application: Application) -> None:
    ids = dead_letters(sqlite_application, 3)
    async with browser(dashboard_for(sqlite_application)) as client:
        group = fingerprint_in(await client.get("/letters"))
        answer = await send(client, f"/letters/{group}/replay", {"id": list(map(str, ids)), "which": "first"})
        with sqlite_application.engine.begin() as connection:
            connection.execute(update(sqlite_application.outbox.tasks).values(status=int(Status.FAILED)))
        await send(client, "/types/resume", {"type": "user.registered"})  # whereupon it is looked at anew
        assert "the rest would fail as well" in text_of(await client.get(answer.headers["location"]))


@pytest.mark.parametrize("ids", [[], ["x"], [f"0190a2f0-0000-7000-8000-{n:012}" for n in range(501)]])
async def test_a_set_that_is_none_or_too_large_is_refused(sqlite_application: Application, ids: list[str]) -> None:
    async with browser(dashboard_for(sqlite_application)) as client:
        answer = await send(client, "/letters/0123456789ab/replay", {"id": ids, "which": "all", "reason": "x"})
    assert answer.status_code == 400


async def test_a_note_on_a_group_stands_where_the_group_stands_with_who_wrote_it(
    sqlite_application: Application,
) -> None:
    dead_letters(sqlite_application, 3)
    async with browser(dashboard_for(sqlite_application)) as client:
        group = fingerprint_in(await client.get("/letters"))
        await send(client, f"/letters/{group}/note", {"note": "  the bank is\n away  "})
        for path in ("/letters", f"/letters/{group}"):
            assert "the bank is away — maria" in text_of(await client.get(path))
        assert 'value="the bank is away"' in (await client.get(f"/letters/{group}")).text
        audit = await client.get("/audit")
        assert f'href="/letters/{group}"' in audit.text
        await send(client, f"/letters/{group}/note", {"note": " "})
        assert "the bank is away" not in text_of(await client.get("/letters"))
        for path, note in (("/letters/nothing/note", "x"), (f"/letters/{group}/note", "x" * 501)):
            assert (await send(client, path, {"note": note})).status_code == 400


async def test_the_audit_goes_on_where_a_page_ended(sqlite_application: Application) -> None:
    with sqlite_application.engine.begin() as connection:
        for number in range(150):
            subject = Subject.of("job", f"job-{number:03}")
            Act("pause", "ann").writing(sqlite_application.outbox.audit_entries, subject)(connection)
    async with browser(dashboard_for(sqlite_application)) as client:
        first = await client.get("/audit")
        more = html.unescape(re.search(r'href="(/audit\?after=[^"]+)"', first.text)[1])  # type: ignore[index]
        second = await client.get(more)
    told = [set(re.findall(r"job-\d{3}", page.text)) for page in (first, second)]
    assert (len(told[0]), len(told[1]), len(told[0] | told[1])) == (100, 50, 150)
    assert "after=" not in second.text.partition("<main")[2]


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("header", "is_linked"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", True),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-comes-later", True),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", False),
        (f'00-{TRACE[:-1]}"-b7ad6b7169203331-01', False),
        ("javascript:alert(1)", False),
        (None, False),
    ],
)
async def test_a_task_leads_to_its_trace_where_somebody_said_where_that_is(
    sqlite_application: Application, header: str | None, *, is_linked: bool
) -> None:
    headers = {} if header is None else {"traceparent": header}
    (letter,) = dead_letters(sqlite_application, 1, headers=headers)
    settings = DashboardSettings(trace_url="https://traces.example/t/{trace_id}?from=asyncflow")
    for given, expected in ((settings, is_linked), (None, False)):
        app = Dashboard(sqlite_application.engine, sqlite_application.outbox, users=_maria, settings=given)
        async with browser(app) as client:
            page = await client.get(f"/task/{letter}")
        assert (f'href="https://traces.example/t/{TRACE}?from=asyncflow"' in page.text) == expected
        assert page.text.count("https://traces.example") in (0, 2)


@pytest.mark.parametrize("given", ["", "javascript:{trace_id}", "https://traces.example", "//x/{trace_id}", 3])
def test_an_address_for_traces_is_one_with_the_place_of_the_id(given: Any) -> None:
    with pytest.raises(OptionError, match="trace_url is"):
        DashboardSettings(trace_url=given)


def _maria(_: Any) -> Person:
    return Person("maria", Role.ADMIN)


# -- options, languages, faults --------------------------------------------------------------------------


async def test_options_tell_where_they_come_from(sqlite_application: Application) -> None:
    sqlite_application.outbox.message("mail.sent", max_retries=3)
    async with browser(dashboard_for(sqlite_application)) as client:
        await send(client, "/types/change", {"type": "mail.sent", "option": "limit", "value": "9"})
        told = text_of(await client.get("/types"))
        assert "limit 9 from the table" in told
        assert "max_retries 3 from the declaration" in told
        await send(client, "/types/change", {"type": "mail.sent", "option": "limit", "value": ""})
        assert "limit 9" not in text_of(await client.get("/types"))
        for option, value in (("limit", "-1"), ("limt", "3"), ("enabled", "perhaps")):
            answer = await send(client, "/types/change", {"type": "mail.sent", "option": option, "value": value})
            assert answer.status_code == 400
            assert option in text_of(answer)


async def test_a_page_speaks_the_readers_language_and_keeps_his_choice(sqlite_application: Application) -> None:
    async with browser(dashboard_for(sqlite_application)) as client:
        assert '<html lang="zh">' in (await client.get("/", headers={"Accept-Language": "zh-CN"})).text
        assert "审计" in text_of(await client.get("/audit?language=zh"))
        assert "审计" in text_of(await client.get("/audit"))
        assert "Audit" in text_of(await client.get("/audit?language=en"))


async def test_a_fragment_is_the_part_that_changes_alone(sqlite_application: Application) -> None:
    async with browser(dashboard_for(sqlite_application)) as client:
        page = await client.get("/")
        part = await client.get("/", headers={"X-Asyncflow-Fragment": "1"})
    assert "<html" not in part.text
    assert "Nothing is stuck." in part.text
    assert " ".join(part.text.split()) in " ".join(page.text.split())


async def test_tables_that_are_missing_are_a_finding_and_no_traceback(sqlite_application: Application) -> None:
    sqlite_application.Base.metadata.drop_all(sqlite_application.engine)
    async with browser(dashboard_for(sqlite_application)) as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert "None of asyncflow's tables is there" in text_of(page)
        for path in ("letters", "types", "audit"):
            answer = await client.get(f"/{path}")
            assert answer.status_code == 503, text_of(answer)
            assert "asyncflow_" in text_of(answer)


async def test_tables_that_go_while_the_page_is_open_are_told_by_the_next_look(sqlite_application: Application) -> None:
    dashboard = dashboard_for(sqlite_application)
    async with browser(dashboard) as client:
        assert "Nothing is stuck" in text_of(await client.get("/"))
        sqlite_application.Base.metadata.drop_all(sqlite_application.engine)
        dashboard._answers._glances.forget()
        assert "table-differs" in text_of(await client.get("/"))


@pytest.mark.parametrize("path", ["task/0190a2f0-0000-7000-8000-000000000000", "nowhere", "task"])
async def test_what_is_not_there_is_told_as_such(sqlite_application: Application, path: str) -> None:
    async with browser(dashboard_for(sqlite_application)) as client:
        assert (await client.get(f"/{path}")).status_code == 404


@pytest.mark.parametrize(
    "path", ["task/x", "search?status=dead", "search?since=now", "search?after=x", "job?name=none"]
)
async def test_what_cannot_be_understood_is_told_with_its_value(sqlite_application: Application, path: str) -> None:
    async with browser(dashboard_for(sqlite_application)) as client:
        answer = await client.get(f"/{path}")
    assert answer.status_code == 400
    assert "refused" in answer.text


async def test_what_waits_is_told_by_destination(sqlite_application: Application) -> None:
    sqlite_application.outbox.message("invoice.issued", destination="cluster_b")
    with sqlite_application.session() as session, session.begin():
        sqlite_application.outbox.publish(session, "invoice.issued", {})
    app = Dashboard(sqlite_application.engine, sqlite_application.outbox, users=lambda _: Person("li", Role.VIEWER))
    async with browser(app) as client:
        told = text_of(await client.get("/"))
    assert re.search(r"cluster_b closed 1 \d+ s", told), told
