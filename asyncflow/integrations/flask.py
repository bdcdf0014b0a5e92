"""Flask: handlers in the application's context, and the command line as ``flask outbox``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session, scoped_session

from asyncflow import cli
from asyncflow.errors import OptionError
from asyncflow.extra_libraries import missing
from asyncflow.outbox import Outbox
from asyncflow.scheduler import Scheduler, SchedulerSettings
from asyncflow.text import shown

try:
    import click
    from flask import Flask, current_app, has_app_context
    from flask.cli import with_appcontext
except ImportError as error:
    raise missing("flask", "this integration", "flask") from error

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asyncflow.scheduler.given import Publishers, SchedulerOptions

_NAME = "asyncflow"  # in app.extensions


class FlaskOutbox:
    """Put an outbox into a Flask application; made once, beside ``db``, and given each application by ``init_app``.

    ``database`` is Flask-SQLAlchemy's ``db``, whose ``engine`` is asked for in the application's context, or an Engine.
    ``publishers`` and ``options`` are those of the Scheduler. Handlers run in the context of the application, so
    they may use ``current_app`` and ``db.session``, which is removed at the end of each.

    The scheduler runs by ``flask outbox run``, or within a process that serves from ``start`` to ``stop``.
    """

    def __init__(
        self,
        outbox: Outbox,
        database: Any,
        publishers: Publishers | None = None,
        **options: Unpack[SchedulerOptions],
    ) -> None:
        if not isinstance(database, Engine) and not hasattr(type(database), "engine"):
            raise OptionError(f"database is {shown(database)}; give Flask-SQLAlchemy's db, or an Engine")
        self.outbox = outbox
        self._database = database
        self._publishers = publishers or {}
        self._settings = SchedulerSettings.of(**options)
        self._home: Flask | None = None  # whose context handlers get
        self._scheduler: Scheduler | None = None
        outbox.around.add(self._context)

    def init_app(self, app: Flask) -> None:
        """Give the application the command ``flask outbox``; its handlers run in the context of this application."""
        self._home = app
        app.extensions[_NAME] = self
        app.cli.add_command(_command())

    def scheduler(self, app: Flask | None = None) -> Scheduler:
        """Return a new Scheduler for the application, by default the current one, on its database."""
        self._home = home = app or _current()
        with home.app_context():
            engine = self._database if isinstance(self._database, Engine) else self._database.engine
        return Scheduler(engine, self.outbox, self._publishers, settings=self._settings)

    def start(self, app: Flask) -> Scheduler:
        """Run a scheduler in this process, such as a worker of gunicorn, until ``stop``; raises what its start does."""
        self.stop()
        self._scheduler = scheduler = self.scheduler(app)
        scheduler.start()
        return scheduler

    def stop(self) -> None:
        """Stop what ``start`` began; without that, or in the child of a fork, it does nothing."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            scheduler.stop()

    def _context(self, _: Any) -> AbstractContextManager[Any]:
        if has_app_context():  # that of a test, which drains
            return nullcontext() if isinstance(self._database, Engine) else _joined(self._database.session)
        return nullcontext() if self._home is None else self._home.app_context()


@contextmanager
def _joined(scoped: scoped_session[Any]) -> Iterator[None]:
    """Let the handler have a session in the test's own transaction, where its commit is a savepoint."""
    outer = scoped()
    with Session(outer.connection(), join_transaction_mode="create_savepoint") as inner:
        scoped.registry.set(inner)
        try:
            yield
        finally:
            scoped.registry.set(outer)


def _current() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app


def _command() -> click.Command:
    """Return ``flask outbox``, which hands all that follows to asyncflow's own command line."""

    @click.command("outbox", add_help_option=False, context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    @with_appcontext
    def outbox(arguments: tuple[str, ...]) -> None:
        """Look at the outbox, and run its scheduler: flask outbox --help."""
        make: Callable[[], Scheduler] = current_app.extensions[_NAME].scheduler
        sys.exit(cli.main_in_application("flask outbox", arguments, make))

    return outbox
