"""What must fail: strangers, wrong roles, other sites' forms, stored scripts, traversal, floods, guessing."""

from __future__ import annotations

import html
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from asyncflow import Status
from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard import Dashboard, DashboardSettings, Person, Role, TrustedProxy, UsersFile
from asyncflow.integrations.dashboard.door import throttle
from asyncflow.integrations.dashboard.door.passwords import Cost, PasswordHash
from asyncflow.integrations.dashboard.pages import deeds, pages
from asyncflow.scheduler import Audit
from tests.integration.integrations.dashboard.browsing import (
    OWN_PAGE,
    browser,
    counted,
    dashboard_for,
    dead_letters,
    fingerprint_in,
    links_in,
    send,
    text_of,
)
from tests.support.application import Application

PASSWORD = "correct horse battery"
HASH = PasswordHash.of(PASSWORD, Cost(log_n=10)).text
NOBODY = "0190a2f0-0000-7000-8000-000000000000"
PAGES = [re.sub(r"\{\w+\}", NOBODY, page.place.path) for page in pages()]
DEEDS = [(re.sub(r"\{\w+\}", NOBODY, deed.place.path), deed.role) for deed in deeds()]


@pytest.fixture
def users(tmp_path: Path) -> UsersFile:
    path = tmp_path / "users.toml"
    people = [("vera", "viewer"), ("otto", "operator"), ("ada", "admin")]
    path.write_text("".join(f'[[users]]\nname="{name}"\nrole="{role}"\nscrypt="{HASH}"\n' for name, role in people))
    os.chmod(path, 0o600)
    return UsersFile(path)


@pytest.fixture
def guarded(sqlite_application: Application, users: UsersFile) -> Dashboard:
    return Dashboard(sqlite_application.engine, sqlite_application.outbox, users=users)


async def signed_in(app: Any, name: str, root: str = "") -> httpx.AsyncClient:
    client = browser(app, root=root)
    answer = await send(client, "/sign-in", {"name": name, "password": PASSWORD, "next": ""})
    assert answer.status_code == 303, answer.text
    return client


# -- without users ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "host", "headers"),
    [
        ("192.0.2.7", "localhost", {}),
        ("127.0.0.1", "rebound.evil.com", {}),
        ("127.0.0.1", "127.0.0.1.evil.com", {}),
        ("127.0.0.1", "localhost", {"X-Forwarded-For": "127.0.0.1"}),
        ("127.0.0.1", "localhost", {"Forwarded": "for=192.0.2.7"}),
        ("127.0.0.1", "localhost", {"Via": "1.1 proxy"}),
        ("::ffff:192.0.2.7", "localhost", {}),
    ],
)
async def test_without_users_only_this_machine_under_its_own_name_is_answered(
    sqlite_application: Application, address: str, host: str, headers: dict[str, str]
) -> None:
    app = Dashboard(sqlite_application.engine, sqlite_application.outbox)
    async with browser(app, address=address, host=host) as client:
        for path in ("/", "/audit", "/static/dashboard.js"):
            assert (await client.get(path, headers=headers)).status_code == 403


@pytest.mark.parametrize("host", ["localhost:8090", "127.0.0.1", "[::1]:8090"])
async def test_without_users_this_machine_reads_and_is_told_so(sqlite_application: Application, host: str) -> None:
    app = Dashboard(sqlite_application.engine, sqlite_application.outbox)
    async with browser(app, host=host) as client:
        page = await client.get("/")
    assert page.status_code == 200
    assert "No users are configured" in text_of(page)


async def test_without_users_nothing_can_be_changed(sqlite_application: Application) -> None:
    (letter, *_) = dead_letters(sqlite_application, 1)
    async with browser(Dashboard(sqlite_application.engine, sqlite_application.outbox)) as client:
        for path, _ in DEEDS:
            assert (await send(client, "/" + path.replace(NOBODY, str(letter)))).status_code == 403
        assert "<form" not in (await client.get(f"/task/{letter}")).text
    assert sqlite_application.statuses() == [Status.FAILED]


# -- who asks --------------------------------------------------------------------------------------------


async def test_who_has_not_signed_in_sees_no_page_and_sends_no_form(guarded: Dashboard) -> None:
    async with browser(guarded, address="192.0.2.7") as client:
        for path in PAGES:
            answer = await client.get(f"/{path}")
            assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in")
            assert (await client.get(f"/{path}", headers={"X-Asyncflow-Fragment": "1"})).status_code == 401
        for path, _ in DEEDS:
            assert (await send(client, f"/{path}")).status_code == 401
        assert (await client.get("/sign-in")).status_code == 200


async def test_a_host_application_decides_and_nothing_else(sqlite_application: Application) -> None:
    async def users(request: Any) -> Person | None:
        return Person("li", Role.VIEWER) if request.cookies.get("own") == "yes" else None

    app = Dashboard(sqlite_application.engine, sqlite_application.outbox, users=users)
    async with browser(app) as client:
        assert (await client.get("/")).status_code == 401
        assert "li" in text_of(await client.get("/", headers={"Cookie": "own=yes"}))


async def test_what_an_application_returns_is_checked(sqlite_application: Application) -> None:
    app = Dashboard(sqlite_application.engine, sqlite_application.outbox, users=lambda _: "admin")
    async with browser(app) as client:
        assert (await client.get("/")).status_code == 400
    with pytest.raises(OptionError, match="users is 3"):
        Dashboard(sqlite_application.engine, sqlite_application.outbox, users=3)


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_may_what_it_may_and_no_more(sqlite_application: Application, role: Role) -> None:
    async with browser(dashboard_for(sqlite_application, role)) as client:
        for path, needed in DEEDS:
            answer = await send(client, f"/{path}", {"reason": "x"})
            if role.may(needed):
                assert answer.status_code != 403, path
            else:
                assert answer.status_code == 403, path
                assert needed.value in text_of(answer)


async def test_a_page_offers_nobody_what_he_may_not(sqlite_application: Application) -> None:
    (letter,) = dead_letters(sqlite_application, 1)
    for role in Role:
        async with browser(dashboard_for(sqlite_application, role)) as client:
            forms = [link for link in links_in(await client.get(f"/task/{letter}")) if f"task/{letter}/" in link]
        allowed = [deed.place.path for deed in deeds() if "{task_id}" in deed.place.path and role.may(deed.role)]
        assert sorted(link.rpartition("/")[2] for link in forms) == sorted(path.rpartition("/")[2] for path in allowed)


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("10.0.0.5", {"X-User": "li"}, 200),
        ("192.0.2.7", {"X-User": "li"}, 401),
        ("10.0.0.5", {}, 401),
        ("10.0.0.5", {"X-User": ""}, 401),
        ("10.0.0.5", {"X-User": "a" * 200}, 401),
    ],
)
async def test_a_header_is_believed_from_the_named_networks_alone(
    sqlite_application: Application, address: str, headers: dict[str, str], status: int
) -> None:
    proxy = TrustedProxy("X-User", ["10.0.0.0/24"])
    app = Dashboard(sqlite_application.engine, sqlite_application.outbox, users=proxy)
    async with browser(app, address=address) as client:
        assert (await client.get("/", headers={**headers, "X-Forwarded-For": "10.0.0.5"})).status_code == status


async def test_two_headers_are_nobodys(sqlite_application: Application) -> None:
    proxy = TrustedProxy("X-User", ["10.0.0.0/24"], roles={"ada": "admin"}, role_header="X-Role")
    app = Dashboard(sqlite_application.engine, sqlite_application.outbox, users=proxy)
    async with browser(app, address="10.0.0.5") as client:
        twice = await client.get("/", headers=[("X-User", "ada"), ("X-User", "li")])
        assert twice.status_code == 401
        for name, told, role in (("ada", "viewer", "admin"), ("li", "operator", "operator"), ("li", "root", None)):
            page = await client.get("/", headers={"X-User": name, "X-Role": told})
            assert (f'title="Role: {role}"' in page.text) if role else page.status_code == 401


# -- sessions --------------------------------------------------------------------------------------------


async def test_a_session_is_kept_from_scripts_other_sites_and_other_paths(guarded: Dashboard) -> None:
    client = browser(guarded, root="/ops")
    answer = await send(client, "/sign-in", {"name": "ada", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=lax", "path=/ops", "max-age=43200"))
    assert "secure" not in cookie
    behind_tls = await send(client, "/sign-in", {"name": "ada", "password": PASSWORD}, **{"X-Forwarded-Proto": "https"})
    assert "secure" in behind_tls.headers["set-cookie"].lower()


async def test_a_session_ends_with_its_password_its_user_and_its_sign_out(guarded: Dashboard, tmp_path: Path) -> None:
    client = await signed_in(guarded, "ada")
    assert (await client.get("/")).status_code == 200
    other = PasswordHash.of("another password", Cost(log_n=10)).text
    path = tmp_path / "users.toml"
    before = path.read_text()
    path.write_text(before.replace(HASH, other) + "\n")
    assert (await client.get("/")).status_code == 303
    path.write_text(before)
    assert (await client.get("/")).status_code == 200
    gone = await send(client, "/sign-out")
    assert 'asyncflow_session=""' in gone.headers["set-cookie"]
    assert (await client.get("/")).status_code == 303


async def test_a_made_up_session_is_nobodys(guarded: Dashboard) -> None:
    async with browser(guarded) as client:
        for text in ("x.y", "..", "W10.W10", "a" * 4000):
            assert (await client.get("/", headers={"Cookie": f"asyncflow_session={text}"})).status_code == 303


# -- other sites -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.com"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.com"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.com"},
        {},
    ],
)
async def test_a_form_of_another_site_changes_nothing(sqlite_application: Application, headers: dict[str, str]) -> None:
    (letter,) = dead_letters(sqlite_application, 1)
    async with browser(dashboard_for(sqlite_application)) as client:
        for path in (f"/task/{letter}/replay", "/sign-in", "/sign-out", f"/task/{letter}"):
            assert (await client.post(path, data={"reason": "x"}, headers=headers)).status_code == 403
    assert sqlite_application.statuses() == [Status.FAILED]


@pytest.mark.parametrize("headers", [OWN_PAGE, {"Origin": "http://localhost"}])
async def test_a_form_of_its_own_changes_what_it_says(sqlite_application: Application, headers: dict[str, str]) -> None:
    (letter,) = dead_letters(sqlite_application, 1)
    async with browser(dashboard_for(sqlite_application)) as client:
        answer = await client.post(f"/task/{letter}/replay", data={"reason": "x"}, headers=headers)
        assert answer.status_code == 303
    assert sqlite_application.statuses() == [Status.PENDING]


async def test_a_look_changes_nothing(sqlite_application: Application) -> None:
    (letter,) = dead_letters(sqlite_application, 1)
    async with browser(dashboard_for(sqlite_application)) as client:
        for path, _ in DEEDS:
            assert (await client.get("/" + path.replace(NOBODY, str(letter)))).status_code == 404
        assert (await client.request("DELETE", f"/task/{letter}", headers=OWN_PAGE)).status_code == 405
    assert sqlite_application.statuses() == [Status.FAILED]


# -- what is stored --------------------------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"
ESCAPE = "\x1b[31mred\x9b31m\u202ereversed"


def attributes_in(text: str) -> set[str]:
    """Return the names of all attributes, as a browser takes the page apart."""
    found: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.update(name for name, _ in attrs)

    Reader().feed(text)
    return found


async def test_no_stored_text_becomes_a_script_or_an_escape(sqlite_application: Application) -> None:
    sqlite_application.outbox.message("<b>type</b>")
    ids = dead_letters(
        sqlite_application,
        1,
        task_type="<b>type</b>",
        key=SCRIPT[:200],
        payload={"text": SCRIPT, SCRIPT: ESCAPE},
        headers={"h": SCRIPT},
        log="2026-01-02T03:04:05Z " + (SCRIPT + ESCAPE).replace("{", "{{").replace("}", "}}") + "\n",
    )
    app = dashboard_for(sqlite_application, name=SCRIPT[:100])
    async with browser(app) as client:
        group = fingerprint_in(await client.get("/letters"))
        counted(sqlite_application, SCRIPT[:90] + ESCAPE[-8:], sent=[1] * 60, failed=[1] * 60)
        noted = SCRIPT + "\u202ereversed\x9b31m"
        assert (await send(client, f"/letters/{group}/note", {"note": noted})).status_code == 303
        assert html.escape(SCRIPT[:25]) in (await client.get("/letters")).text
        await send(client, f"/task/{ids[0]}/replay", {"reason": SCRIPT})
        dead_letters(sqlite_application, 1, task_type="<b>type</b>", log="x\n", key=SCRIPT[:200])
        paths = [f"task/{ids[0]}", f"letters/{group}", *PAGES, "search?type=<b>type</b>", "search?key=" + SCRIPT[:40]]
        paths += ["charts?type=" + quote(SCRIPT + ESCAPE), "charts?span=3d"]
        for path in paths:
            answer = await client.get(f"/{path}")
            nonces = set(re.findall(r'nonce="([^"]+)"', answer.text))
            assert len(nonces) == 1
            scripts = re.findall(r"<script[^>]*>", answer.text)
            assert len(scripts) == 1, path
            assert "<img" not in answer.text
            assert "<b>" not in answer.text
            assert "{{" not in answer.text or "7*7" in answer.text
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", answer.text), path
            assert [name for name in attributes_in(answer.text) if name.startswith("on")] == [], path


async def test_every_answer_says_what_may_run_in_it(sqlite_application: Application) -> None:
    async with browser(dashboard_for(sqlite_application)) as client:
        answers = [await client.get(f"/{path}") for path in ("", "nowhere", "static/dashboard.js", "task/x")]
        answers.append(await client.post("/types/pause"))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
    nonces = {re.search(r"script-src 'nonce-([^']+)'", one.headers["content-security-policy"])[1] for one in answers}  # type: ignore[index]
    assert len(nonces) == len(answers)


# -- paths, sizes, guesses, redirects --------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/static/../dashboard.py",
        "/static/%2e%2e/dashboard.py",
        "/static/..%2f..%2fflask.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/dashboard.js%00",
        "/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
    ],
)
async def test_no_path_leads_out_of_the_dashboard(sqlite_application: Application, path: str) -> None:
    for root in ("", "/ops"):
        app = dashboard_for(sqlite_application)
        scope = {
            "type": "http",
            "method": "GET",
            "path": root + httpx.URL(f"http://x{path}").path,
            "raw_path": (root + path).encode(),
            "root_path": root,
            "query_string": b"",
            "scheme": "http",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
        }
        sent: list[Any] = []

        async def send_to(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        await app(scope, receive, send_to)
        assert sent[0]["status"] == 404


async def test_a_body_that_is_too_large_is_read_by_nobody(sqlite_application: Application) -> None:
    settings = DashboardSettings(max_body_bytes=64 * 1024)
    app = Dashboard(
        sqlite_application.engine,
        sqlite_application.outbox,
        users=lambda _: Person("ada", Role.ADMIN),
        settings=settings,
    )
    form = {**OWN_PAGE, "Content-Type": "application/x-www-form-urlencoded"}
    async with browser(app) as client:
        told = await client.post("/types/pause", content=b"a=" + b"x" * 70_000, headers=form)
        assert told.status_code == 413
        lying = await client.post("/types/pause", content=b"a=1", headers={**form, "Content-Length": "many"})
        assert lying.status_code == 413
        many = await client.post("/types/pause", content=b"&".join([b"a=1"] * 5000), headers=form)
        assert many.status_code == 400
        for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain"):
            other = await client.post("/types/pause", content=b"x", headers={**OWN_PAGE, "Content-Type": kind})
            assert other.status_code == 415
        assert (await client.get("/search?key=" + "x" * 2000)).status_code == 400


async def test_a_body_without_an_end_is_cut_off(sqlite_application: Application) -> None:
    app = dashboard_for(sqlite_application)
    parts = 0

    async def receive() -> Any:
        nonlocal parts
        parts += 1
        assert parts < 1000
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    sent: list[Any] = []

    async def send_to(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/types/pause",
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "headers": [
            (b"host", b"localhost"),
            (b"sec-fetch-site", b"same-origin"),
            (b"content-type", b"application/x-www-form-urlencoded"),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    await app(scope, receive, send_to)
    assert sent[0]["status"] == 413
    assert parts < 40


async def test_guessing_is_slowed_for_who_guesses_alone(guarded: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "_FIRST_SECONDS", 600.0)  # which no busy machine takes for two requests
    async with browser(guarded, address="192.0.2.7") as guesser, browser(guarded, address="192.0.2.8") as other:
        wrong = [await send(guesser, "/sign-in", {"name": "ada", "password": f"guess {n}"}) for n in range(6)]
        assert [one.status_code for one in wrong] == [401] * 5 + [429]
        assert int(wrong[-1].headers["retry-after"]) >= 1
        right = await send(guesser, "/sign-in", {"name": "ada", "password": PASSWORD})
        assert right.status_code == 429
        assert (await send(other, "/sign-in", {"name": "ada", "password": PASSWORD})).status_code == 303


async def test_a_wrong_name_is_told_as_a_wrong_password_is(guarded: Dashboard) -> None:
    async with browser(guarded) as client:
        answers = [
            await send(client, "/sign-in", {"name": name, "password": "wrong password"}) for name in ("ada", "nobody")
        ]
    assert len({(one.status_code, text_of(one)) for one in answers}) == 1


@pytest.mark.parametrize("wanted", ["//evil.com", "https://evil.com", "/\\evil.com", "\\\\evil.com", "javascript:x"])
@pytest.mark.parametrize("root", ["", "/ops"])
async def test_a_sign_in_leads_to_no_other_site(guarded: Dashboard, wanted: str, root: str) -> None:
    async with browser(guarded, root=root) as client:
        page = await client.get("/sign-in", params={"next": wanted})
        assert 'name="next" value=""' in page.text
        answer = await send(client, "/sign-in", {"name": "ada", "password": PASSWORD, "next": wanted})
        assert answer.headers["location"] == f"{root}/"


async def test_a_sign_in_leads_to_the_page_that_was_asked_for(guarded: Dashboard) -> None:
    async with browser(guarded, root="/ops") as client:
        asked = await client.get("/task/0190?x=1")
        page = await client.get(asked.headers["location"].removeprefix("/ops"))
        wanted = re.search(r'name="next" value="([^"]*)"', page.text)[1]  # type: ignore[index]
        answer = await send(client, "/sign-in", {"name": "ada", "password": PASSWORD, "next": wanted})
    assert answer.headers["location"] == "/ops/task/0190?x=1"


@pytest.mark.parametrize("name", ["path", "self", "given", "query", "_block_vars", "caller", "language", "\x00", "é"])
async def test_no_name_in_a_query_breaks_a_page(sqlite_application: Application, name: str) -> None:
    async with browser(dashboard_for(sqlite_application)) as client:
        for path in ("/", "/search", "/nowhere"):
            answer = await client.get(path, params={name: "x"})
            assert answer.status_code in (200, 404), text_of(answer)


# -- the trace -------------------------------------------------------------------------------------------


async def test_the_audit_names_the_person_of_the_session_and_not_of_the_form(
    sqlite_application: Application, guarded: Dashboard
) -> None:
    (letter,) = dead_letters(sqlite_application, 1)
    client = await signed_in(guarded, "otto")
    await send(client, f"/task/{letter}/replay", {"reason": "try it", "actor": "ada", "name": "ada"})
    (entry,) = Audit(sqlite_application.engine, sqlite_application.outbox).entries()
    assert (entry.actor, entry.action, entry.reason) == ("otto", "replay", "try it")
