"""Flask: handlers in the application's context, and the command line as ``flask outbox``."""

from __future__ import annotations

import logging
import os
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
    from flask.cli import ScriptInfo, with_appcontext
    from flask.helpers import get_debug_flag
except ImportError as error:
    raise missing("flask", "this integration", "flask") from error

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asyncflow.scheduler.given import Publishers, SchedulerGiven

_NAME = "asyncflow"  # in app.extensions
_BESIDE = ("jobs", "registry", "queues", "hooks")  # what a Scheduler is given beside its settings
_log = logging.getLogger(__name__)


class FlaskOutbox:
    """Put an outbox into a Flask application; made once, beside ``db``, and given each application by ``init_app``.

    ``database`` is Flask-SQLAlchemy's ``db``, whose ``engine`` is asked for in the application's context, or an Engine.
    ``publishers`` and what else is ``given``, options, ``hooks``, ``jobs``, ``queues`` and ``registry``, are the
    Scheduler's, for every one that is made. Handlers run in the context of the application, so
    they may use ``current_app`` and ``db.session``, which is removed at the end of each.

    The scheduler runs by ``flask outbox run``, or within a process that serves from ``start`` to ``stop``.
    """

    def __init__(
        self,
        outbox: Outbox,
        database: Any,
        publishers: Publishers | None = None,
        **given: Unpack[SchedulerGiven],
    ) -> None:
        if not isinstance(database, Engine) and not hasattr(type(database), "engine"):
            raise OptionError(f"database is {shown(database)}; give Flask-SQLAlchemy's db, or an Engine")
        self.outbox = outbox
        self._database = database
        self._publishers = publishers or {}
        self._given = given
        SchedulerSettings.of(**{name: one for name, one in given.items() if name not in _BESIDE})  # or it raises here
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
        return Scheduler(engine, self.outbox, self._publishers, **self._given)

    def start(self, app: Flask) -> Scheduler:
        """Run a scheduler in this process, such as a worker of gunicorn, until ``stop`` or the end of flask's command.

        Where ``flask`` makes the application, as a factory that calls this, the scheduler is started in the process
        that serves alone: not in the parent of the reloader, which would go on with the code of its beginning, and not
        for other commands; it is returned as it is. Raises what the scheduler's start does.
        """
        self.stop()
        scheduler = self.scheduler(app)
        if (why := _why_not_here()) is not None:
            _log.info("The scheduler is not started here: %s", why)
            return scheduler
        self._scheduler = scheduler
        scheduler.start()
        if (command := click.get_current_context(silent=True)) is not None:
            command.call_on_close(self.stop)  # as the reloader and Ctrl-C end it, who tell no application
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


def _why_not_here() -> str | None:
    """Return why a scheduler has no place here, as far as the command ``flask`` is making the application."""
    context = click.get_current_context(silent=True)
    info = None if context is None else context.find_object(ScriptInfo)
    if context is None or info is None or getattr(info, "_loaded_app", None) is not None:
        return None  # a command that is at work starts what it likes
    if context.info_name != "run":
        return "the application was made for another command of flask than run"
    wanted = context.params.get("reload")
    reloads = get_debug_flag() if wanted is None else wanted
    if reloads and os.environ.get("WERKZEUG_RUN_MAIN") != "true":
        return "the reloader of flask run has another process serve, which starts its own"
    return None


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
