"""The small applications under examples/: each is its page, tests itself, and does what it says as real processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from sqlalchemy import URL

from tests.support.databases import fresh_database
from tests.support.snippets import ROOT
from tools.services.ports import choose

LONG = 150.0
ONCE = httpx.Limits(max_keepalive_connections=0)


class Example(NamedTuple):
    folder: str
    page: str
    files: tuple[str, ...]


DJANGO = (
    "manage.py",
    "settings.py",
    "shop/migrations/0001_initial.py",
    "shop/models.py",
    "shop/tasks.py",
    "shop/tests.py",
    "shop/urls.py",
)
EXAMPLES = [
    Example("fastapi_app", "docs/fastapi.md", ("main.py", "test_main.py")),
    Example("flask_app", "docs/flask.md", ("app.py", "gunicorn.conf.py", "test_app.py")),
    Example("django_app", "docs/django.md", DJANGO),
    Example("script", "docs/script.md", ("shop.py", "test_shop.py")),
]
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.folder)


def files_of(page: str) -> dict[str, str]:
    """Return the page's Python blocks by the file names in their first lines."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(# ([\w./]+\.py)\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {name: block for block, name in blocks}


def write_files(page: str, directory: Path) -> None:
    """Begin the example from its page, as a newcomer does."""
    for name, text in files_of(page).items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if file.parent != directory:  # as `startapp` does
            (file.parent / "__init__.py").touch()


@each_example
def test_the_page_holds_the_example_as_it_is(example: Example) -> None:
    own = f"examples.{example.folder}."
    files = {name: (ROOT / "examples" / example.folder / name).read_text() for name in example.files}
    assert files_of(example.page) == {name: text.replace(own, "") for name, text in files.items()}


@each_example
def test_the_tests_of_the_page_pass(example: Example, tmp_path: Path) -> None:
    write_files(example.page, tmp_path)
    if example.files is DJANGO:  # whose tests have a runner of their own
        run("manage", "test", directory=tmp_path)
        return
    # The plugin of this tree, installed or not.
    environment = environment_of(tmp_path, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    plugins = ["-p", "anyio.pytest_plugin", "-p", "asyncflow.integrations.pytest", "-p", "no:cacheprovider"]
    command = [sys.executable, "-W", "error::ResourceWarning", "-m", "pytest", "-q", *plugins]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@contextmanager
def served(command: list[str], directory: Path, port: int, **environment: str) -> Iterator[httpx.Client]:
    """Run a server, and give a client of it; it must end in order."""
    with (
        running(command, directory / "server.log", directory, **environment),
        # Each request has a connection of its own: an idle one may be closed just as it is asked on.
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LONG, limits=ONCE) as client,
    ):
        wait_until(lambda: answers(client), "the server answers", directory)
        yield client


@contextmanager
def running(command: list[str], log: Path, directory: Path, **environment: str) -> Iterator[None]:
    """Run a module's command in the background; after SIGTERM it must end in order."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=directory,
            env=environment_of(directory, environment),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
        process.terminate()
        assert process.wait(LONG) in (0, -15), log.read_text()
    finally:
        process.kill()
        process.wait()


def environment_of(directory: Path, own: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(directory)]), **own}


def answers(client: httpx.Client) -> bool:
    try:
        client.get("/")
    except httpx.TransportError:
        return False
    return True


def wait_until(holds: Callable[[], bool], claim: str, directory: Path) -> None:
    deadline = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < deadline, f"{claim}: not in time\n{(directory / 'server.log').read_text()}"
        time.sleep(0.05)


def patient(url: URL) -> str:
    """Return the address, where SQLite's one writer at a time is waited for as a busy machine needs it."""
    options = {"timeout": "50"} if url.get_backend_name() == "sqlite" else {}
    return url.update_query_dict(options).render_as_string(hide_password=False)


def register_ten(client: httpx.Client, directory: Path) -> None:
    """Register ten users, and wait until each of them has one coupon."""
    names = [f"A{number}" for number in range(10)]
    assert [client.post(f"/users/{name}").status_code for name in names] == [200] * 10

    def coupons() -> list[int]:
        return [client.get(f"/users/{name}").json()["coupons"] for name in names]

    wait_until(lambda: coupons() == [1] * 10, "each has a coupon", directory)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_fastapi_application_does_its_tasks_inside_and_tells_of_it(tmp_path: Path, database: str) -> None:
    port = choose()
    write_files("docs/fastapi.md", tmp_path)
    command = ["uvicorn", "main:app", "--port", str(port)]
    with fresh_database(database, tmp_path) as url:
        driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}[database]
        address = patient(url.set(drivername=driver))
        with served(command, tmp_path, port, DATABASE_URL=address) as client:
            register_ten(client, tmp_path)
    assert len(told_of_life(tmp_path, url)) == 1


@pytest.mark.parametrize("database", ["sqlite", "mariadb"])
def test_each_gunicorn_worker_of_the_flask_application_is_an_instance_and_tells_of_it(
    tmp_path: Path, database: str
) -> None:
    port = choose()
    write_files("docs/flask.md", tmp_path)
    command = ["gunicorn", "app:create_app()", "--bind", f"127.0.0.1:{port}"]
    with fresh_database(database, tmp_path) as url:
        address = patient(url)

        def owners() -> list[str]:
            told = run("flask", "--app", "app", "outbox", "status", directory=tmp_path, DATABASE_URL=address)
            return [line for line in told[told.index("SHARDS") + 1 :] if "(no owner)" not in line]

        with served(command, tmp_path, port, DATABASE_URL=address) as client:
            register_ten(client, tmp_path)
            wait_until(lambda: len(owners()) == 2, "two workers share the shards", tmp_path)
    assert len(told_of_life(tmp_path, url)) == 2


def told_of_life(directory: Path, url: URL) -> list[str]:
    """Return the instances of which the server's log, as the server sets it up, tells the start and the end."""
    log = (directory / "server.log").read_text()
    started = re.findall(r"INFO\W.*The scheduler runs \[SchedulerStarted owner=(\S+) (.*)\]$", log, re.MULTILINE)
    stopped = re.findall(r"INFO\W.*The scheduler has stopped \[SchedulerStopped owner=(\S+) ", log)
    assert all("handlers=issue_coupon" in told and f"/{url.database}" in told for _, told in started), log
    assert url.password is None or f":{url.password}@" not in log
    assert sorted(stopped) == sorted(owner for owner, _ in started), log
    return stopped


def run(*command: str, directory: Path, **environment: str) -> list[str]:
    """Run a module's command to its end; return the lines that it printed."""
    answer = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=directory,
        env=environment_of(directory, environment),
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout.splitlines()


def test_the_script_does_its_task_each_time(tmp_path: Path) -> None:
    write_files("docs/script.md", tmp_path)
    (told,) = re.findall(r"^Drained\(.*$", (ROOT / "docs/script.md").read_text(encoding="utf-8"), re.MULTILINE)
    for _ in range(2):
        assert run("shop", directory=tmp_path) == [told]
    assert len((tmp_path / "shop.py").read_text().splitlines()) < 40


def test_the_django_project_does_its_tasks_beside(tmp_path: Path) -> None:
    port = choose()
    write_files("docs/django.md", tmp_path)
    run("manage", "migrate", directory=tmp_path)
    with (
        running(["manage", "outbox", "run"], tmp_path / "scheduler.log", tmp_path),
        served(["manage", "runserver", "--noreload", str(port)], tmp_path, port) as client,
    ):
        register_ten(client, tmp_path)
    assert "1 issue_coupon" not in run("manage", "outbox", "dead-letters", "list", directory=tmp_path)
    assert "stopped" in (tmp_path / "scheduler.log").read_text()


MIGRATED = """
from flask_migrate import Migrate

import app as plain
from asyncflow.integrations.alembic import render_item


def create_app():
    app = plain.create_app()
    Migrate(app, plain.db, render_item=render_item)
    return app
"""


def test_flask_migrate_writes_the_tables_in_plain_types(tmp_path: Path) -> None:
    write_files("docs/flask.md", tmp_path)
    (tmp_path / "migrated.py").write_text(MIGRATED)
    for step in ("init", "migrate", "upgrade", "check"):
        run("flask", "--app", "migrated", "db", step, directory=tmp_path)
    (written,) = (tmp_path / "migrations" / "versions").glob("*.py")
    assert "asyncflow_task" in written.read_text()
    assert not re.search(r"import asyncflow|asyncflow[.]", written.read_text())
