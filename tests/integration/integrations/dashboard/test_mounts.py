"""One line puts the pages into an application: under any path of FastAPI, Starlette and Flask, or alone."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from flask import Flask
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from asyncflow.cli import main
from asyncflow.integrations.dashboard import Dashboard, UsersFile
from tests.integration.integrations.dashboard.browsing import (
    OWN_PAGE,
    browser,
    dashboard_for,
    dead_letters,
    links_in,
    send,
)
from tests.support.application import Application


@pytest.mark.parametrize("kind", [FastAPI, Starlette])
@pytest.mark.parametrize("place", ["/ops", "/a/b c"])
async def test_all_links_stay_below_where_it_is_mounted(sqlite_application: Application, kind: Any, place: str) -> None:
    (letter,) = dead_letters(sqlite_application, 1)
    host = kind()
    host.mount(place, dashboard_for(sqlite_application))
    below = place.replace(" ", "%20")
    async with browser(host) as client:
        seen: set[str] = set()
        waiting = [f"{below}/"]
        while waiting:
            path = waiting.pop()
            if path in seen or len(seen) > 60:
                continue
            seen.add(path)
            answer = await client.get(path)
            if "/task/" in path and path.rsplit("/", 1)[1] in ("replay", "mend", "cancel", "discard"):
                continue
            links = [link for link in links_in(answer) if not link.startswith(("data:", "#"))]
            assert all(link.startswith(f"{below}/") for link in links), (path, links)
            waiting += [link for link in links if "language=" not in link]
        assert f"{below}/task/{letter}" in seen
        answer = await send(client, f"{below}/task/{letter}/replay")
        assert answer.headers["location"] == f"{below}/task/{letter}"


@pytest.mark.parametrize("its", [lambda engine: engine, lambda engine: engine.sync_engine], ids=["itself", "within"])
async def test_an_asynchronous_application_gives_its_own_engine(sqlite_application: Application, its: Any) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{sqlite_application.engine.url.database}")
    async with browser(Dashboard(its(engine), sqlite_application.outbox)) as client:
        answer = await client.get("/")
    assert answer.status_code == 200
    assert "greenlet" not in answer.text


def test_flask_serves_it_below_a_path(sqlite_application: Application) -> None:
    (letter,) = dead_letters(sqlite_application, 1)
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: "the shop")
    pages: dict[str, Any] = {"/ops": dashboard_for(sqlite_application).wsgi()}
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, pages)  # type: ignore[method-assign]
    client = app.test_client()
    assert client.get("/").text == "the shop"
    page = client.get("/ops/")
    assert page.status_code == 200
    assert 'href="/ops/audit"' in page.text
    answer = client.post(f"/ops/task/{letter}/replay", data={"reason": "x"}, headers=OWN_PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ops/task/{letter}")
    assert client.get("/ops/nowhere").status_code == 404


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", "200"), ("192.0.2.7", "403"), ("", "403")])
def test_within_wsgi_it_is_closed_to_others_as_well(sqlite_application: Application, address: str, status: str) -> None:
    pages = Dashboard(sqlite_application.engine, sqlite_application.outbox).wsgi()
    told: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/ops",
        "PATH_INFO": "/",
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": address,  # and no port: some servers tell none
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
    }
    list(pages(environ, lambda given, *_: told.append(given)))
    assert told[0].startswith(status)


def test_the_child_of_a_fork_serves_it_with_a_loop_of_its_own(sqlite_application: Application) -> None:
    client = _wsgi_client(sqlite_application)
    assert client.get("/").status_code == 200
    sqlite_application.engine.dispose()
    child = os.fork()
    if child == 0:
        signal.alarm(150)
        os._exit(0 if client.get("/audit").status_code == 200 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _wsgi_client(application: Application) -> Any:
    app = Flask(__name__)
    app.wsgi_app = dashboard_for(application).wsgi()  # type: ignore[method-assign]
    return app.test_client()


# -- alone -----------------------------------------------------------------------------------------------


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[str]:
    """Run the command; give its address, and end it."""
    command = [sys.executable, "-m", "asyncflow.cli", "dashboard", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}, cwd=Path.cwd()
    )
    assert process.stderr is not None
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"http://[\d.]+:\d+/", line):
                yield found[0]
                break
        else:
            raise AssertionError("".join(lines))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0


def test_the_command_serves_alone_and_ends_at_once(sqlite_application: Application, tmp_path: Path) -> None:
    url = sqlite_application.engine.url.render_as_string(hide_password=False)
    with running("--database-url", url, "--title", "the shop") as address:
        page = httpx.get(address, timeout=60)
        assert page.status_code == 200
        assert "the shop" in page.text
        assert httpx.get(address, headers={"Host": "evil.com"}, timeout=60).status_code == 403


def test_the_command_hashes_a_password_for_the_users_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery\n"))
    assert main(["dashboard", "--hash", 'ma"ria', "--role", "operator"]) == 0
    path = tmp_path / "users.toml"
    path.write_text(capsys.readouterr().out)
    user = UsersFile(path).signed_in('ma"ria', "correct horse battery")
    assert user is not None
    assert user.person.role.value == "operator"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--proxy-header", "X-User"], "go together"),
        (["--proxy-network", "10.0.0.1"], "go together"),
        (["--users", "none.toml"], "cannot be read"),
        (["--proxy-header", "X-User", "--proxy-network", "everywhere"], "networks is"),
        (["--secret-file", "none"], "cannot be read"),
        (["--port", "99999"], "--port is 99999"),
        (["nowhere:outbox"], "no module"),
    ],
)
def test_options_that_cannot_be_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    assert main(["dashboard", "--database-url", url, *arguments]) == 1
    assert told in capsys.readouterr().err


async def test_its_lifespan_is_said_to_be_complete(sqlite_application: Application) -> None:
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send_to(message: Any) -> None:
        sent.append(message["type"])

    await asyncio.wait_for(dashboard_for(sqlite_application)({"type": "lifespan"}, receive, send_to), 60)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
