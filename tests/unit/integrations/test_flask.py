"""Flask: handlers in the application's context, one scheduler in each process, and asyncflow's own commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask, current_app, g, has_app_context
from flask.cli import FlaskGroup
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from asyncflow import Outbox, TaskContext
from asyncflow.errors import OptionError, UnknownOptionError
from asyncflow.events import Event, SchedulerStarted, SchedulerStopped, TasksSettled
from asyncflow.integrations.flask import FlaskOutbox
from asyncflow.testing import drain


class Shop:
    """Have an application with Flask-SQLAlchemy, as its users write one."""

    def __init__(self, path: Path) -> None:
        class Base(DeclarativeBase):
            pass

        self.db = db = SQLAlchemy(model_class=Base)
        self.outbox = Outbox(db.metadata)
        self.flask_outbox = FlaskOutbox(self.outbox, db)
        self.seen: list[Any] = []

        class User(db.Model):  # type: ignore[name-defined,misc]
            number: Mapped[int] = mapped_column(primary_key=True)
            greeted_by: Mapped[str | None]

        @self.outbox.task()
        def greet(ctx: TaskContext, number: int) -> None:
            self.seen += [current_app.name, "left behind" in g]
            g.setdefault("left behind", True)
            db.session.get_one(User, number).greeted_by = current_app.name
            db.session.commit()

        self.User, self.greet = User, greet
        self.app = self.make(path)
        with self.app.app_context():
            db.create_all()

    def make(self, path: Path) -> Flask:
        app = Flask("shop", instance_path=str(path))
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{path / 'shop.db'}?timeout=60"
        self.db.init_app(app)
        self.flask_outbox.init_app(app)
        return app

    def register(self, *numbers: int) -> None:
        with self.app.app_context():
            for number in numbers:
                self.db.session.add(self.User(number=number))
                self.greet.enqueue(self.db.session, number=number)
            self.db.session.commit()

    def greeted(self) -> list[str | None]:
        with self.app.app_context():
            return [user.greeted_by for user in self.db.session.query(self.User)]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.flask_outbox.stop()
    with shop.app.app_context():
        shop.db.engine.dispose()


def test_each_handler_has_the_application_s_context_and_a_session_of_its_own(shop: Shop) -> None:
    shop.register(1, 2)
    scheduler = shop.flask_outbox.scheduler(shop.app)
    assert scheduler.drain(raise_errors=True).done == 2
    scheduler.stop()
    assert shop.greeted() == ["shop", "shop"]
    assert shop.seen == ["shop", False] * 2
    assert not has_app_context()


def test_a_test_that_drains_in_a_context_sees_what_its_handlers_do(shop: Shop) -> None:
    with shop.app.app_context():
        shop.db.session.add(shop.User(number=1))
        shop.greet.enqueue(shop.db.session, number=1)
        assert drain(shop.db.session, outbox=shop.outbox).done == 1
        assert shop.db.session.get_one(shop.User, 1).greeted_by == "shop"


def test_a_scheduler_runs_from_start_to_stop_and_may_be_started_again(shop: Shop) -> None:
    for _ in range(2):
        scheduler = shop.flask_outbox.start(shop.app)
        assert not scheduler.wait(0)
        shop.flask_outbox.stop()
        assert scheduler.wait(0)
    shop.flask_outbox.stop()


def test_a_second_start_stops_the_first(shop: Shop) -> None:
    first, second = shop.flask_outbox.start(shop.app), shop.flask_outbox.start(shop.app)
    assert (first.wait(0), second.wait(0)) == (True, False)


def test_the_context_is_that_of_the_application_whose_scheduler_runs(shop: Shop, tmp_path: Path) -> None:
    other = shop.make(tmp_path)
    other.name = "other"
    shop.register(1)
    scheduler = shop.flask_outbox.scheduler(shop.app)
    scheduler.drain(raise_errors=True)
    scheduler.stop()
    assert shop.greeted() == ["shop"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status"], "greet"),
        (["dead-letters", "list"], "(no dead letters)"),
        (["config", "list"], "greet"),
        (["init-db"], "asyncflow_task"),
        (["--help"], "flask outbox"),
        (["dead-letters", "replay", "--help"], "flask outbox dead-letters replay"),
    ],
)
def test_flask_outbox_is_asyncflow_s_command_line(
    shop: Shop, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.register(1)
    done = shop.app.test_cli_runner().invoke(args=["outbox", *arguments])
    assert (done.exit_code, told in done.output) == (0, True), done.output
    assert "target" not in done.output


@pytest.mark.parametrize("arguments", [[], ["serve"], ["status", "shop:scheduler"], ["status", "--database-url", "x"]])
def test_what_would_name_another_database_is_refused(shop: Shop, arguments: list[str]) -> None:
    assert shop.app.test_cli_runner().invoke(args=["outbox", *arguments]).exit_code == 2


def test_an_error_ends_the_command_with_its_code(shop: Shop) -> None:
    assert shop.app.test_cli_runner().invoke(args=["outbox", "dead-letters", "show", "--id", "7"]).exit_code == 1


def test_an_engine_serves_as_well(shop: Shop, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}?timeout=60")
    outbox = FlaskOutbox(shop.outbox, engine)
    assert outbox.scheduler(shop.app).engine is engine


def test_what_gives_no_engine_is_refused(shop: Shop) -> None:
    with pytest.raises(OptionError, match="give Flask-SQLAlchemy's db, or an Engine"):
        FlaskOutbox(shop.outbox, "sqlite://")


def test_an_option_that_no_scheduler_has_is_refused_where_it_is_given(shop: Shop) -> None:
    with pytest.raises(UnknownOptionError, match="ticks"):
        FlaskOutbox(shop.outbox, shop.db, ticks=1)  # type: ignore[call-arg]


def test_what_a_scheduler_is_given_beside_options_it_is_given_here(shop: Shop) -> None:
    heard: list[Event] = []
    shop.flask_outbox = FlaskOutbox(shop.outbox, shop.db, hooks=[heard.append], tick=0.5)
    shop.register(1)
    scheduler = shop.flask_outbox.scheduler(shop.app)
    assert scheduler.drain(raise_errors=True).done == 1
    scheduler.stop()
    assert scheduler.settings.tick == 0.5
    assert TasksSettled in map(type, heard)


@pytest.mark.parametrize(
    ("arguments", "is_child", "runs"),
    [
        (["run", "--no-reload"], False, True),
        (["run", "--reload"], False, False),
        (["run", "--reload"], True, True),
        (["routes"], False, False),
    ],
    ids=["without a reloader", "the reloader", "what the reloader starts", "another command"],
)
def test_a_factory_that_starts_it_does_so_where_flask_serves(
    shop: Shop, arguments: list[str], is_child: bool, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Event] = []
    shop.flask_outbox = FlaskOutbox(shop.outbox, shop.db, hooks=[heard.append])

    def create_app() -> Flask:
        shop.flask_outbox.start(shop.app)
        return shop.app

    if is_child:
        monkeypatch.setenv("WERKZEUG_RUN_MAIN", "true")
    monkeypatch.setattr("flask.cli.run_simple", lambda *_, **__: None)
    group = FlaskGroup(create_app=create_app, set_debug_flag=False)
    assert CliRunner().invoke(group, arguments).exit_code == 0
    told = [type(event) for event in heard if isinstance(event, SchedulerStarted | SchedulerStopped)]
    assert told == ([SchedulerStarted, SchedulerStopped] if runs else [])  # the end of the command is its end
