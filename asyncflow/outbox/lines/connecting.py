"""Getting a connection from the application's pool, within a limit."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, Engine, event

from asyncflow.errors import ConnectionSilentError
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.dialects.protocol import DatabaseDialect
from asyncflow.outbox.lines.driver_sockets import cut_lines_of
from asyncflow.outbox.lines.limits import OF_A_LOOK, Limits
from asyncflow.outbox.lines.line import Line

# An application may have set its engine to stream what is read, or to send texts without parameters as they are. Ours
# are read whole, and by some drivers a statement that reads nothing cannot be streamed at all.
PLAIN: Mapping[str, Any] = {"stream_results": False, "yield_per": None, "no_parameters": False}


def connect_plainly(engine: Engine) -> Connection:
    """Return a connection of the engine whose statements are not streamed, whatever the engine's options are."""
    return engine.connect().execution_options(**PLAIN)


def connect_within(engine: Engine, seconds: float) -> Connection:
    """Return a connection of the engine; raises ConnectionSilentError, or what the engine raises.

    On a thread for the moment, for the engine's own limits are the application's: most drivers wait for ever for a
    server that took the call and says nothing. What comes too late goes back to the pool.
    """
    taken: Future[Connection] = Future()

    def connect() -> None:
        try:
            connection = connect_plainly(engine)
        except BaseException as error:  # noqa: BLE001 - told by the one who waits, if somebody still does
            if taken.set_running_or_notify_cancel():
                taken.set_exception(error)
            return
        if taken.set_running_or_notify_cancel():
            taken.set_result(connection)
        else:
            with suppress(Exception):
                connection.close()

    thread = threading.Thread(target=connect, name="asyncflow-connect", daemon=True)
    thread.start()
    try:
        return taken.result(seconds)
    except FutureTimeoutError:
        if not taken.cancel():
            return taken.result()  # it came at this very moment
        cut_lines_of(thread)
        raise ConnectionSilentError(
            f"no connection to {engine.url.render_as_string()} within {seconds:g} seconds: the pool has none left, or "
            f"the server or the network says nothing; look at the pool's size, the address, and firewalls between"
        ) from None


@contextmanager
def connected(engine: Engine, limits: Limits = OF_A_LOOK) -> Iterator[Connection]:
    """Give a connection for a moment, outside the loops; what is not committed in the block is rolled back.

    Its reads are whole, whatever the application has set for its sessions, which are put back as they were.
    Raises ConnectionSilentError if nothing comes of one of its statements within the limits, and what the engine or the
    block raises.
    """
    dialect = dialect_of(engine.dialect.name)
    if not dialect.locks_rows:
        with connect_plainly(engine) as connection:  # a file; and one in memory belongs to its thread
            yield connection
        return
    connection = connect_within(engine, limits.connect_seconds)
    line = Line(connection.connection.driver_connection)
    for moment in ("before_cursor_execute", "after_cursor_execute"):
        event.listen(connection, moment, lambda *_: line.begin_anew())
    try:
        with line.within(limits.silence_seconds), connection:
            try:
                with _reading_whole(connection, dialect):
                    yield connection
            except Exception as error:
                # Here: pg8000 rolls back nothing on a dead connection, and the pool takes it for sound. An error of its
                # own, which SQLAlchemy has not seen, leaves a session that is set up in part.
                if line.was_cut or isinstance(error, engine.dialect.loaded_dbapi.Error):
                    with suppress(Exception):
                        connection.invalidate()
                raise
    except Exception as error:
        if not line.was_cut:
            raise
        end_connection(connection)
        raise ConnectionSilentError(
            f"nothing came of a connection to {engine.url.render_as_string()} within {limits.silence_seconds:g} "
            f"seconds: the network says nothing, or somebody has locked what is to be read; try again"
        ) from error
    finally:
        line.close()


@contextmanager
def _reading_whole(connection: Connection, dialect: DatabaseDialect) -> Iterator[None]:
    put_back = dialect.read_whole(connection.connection.driver_connection)
    try:
        yield
    finally:
        try:
            if not connection.invalidated:
                put_back()
        except Exception:  # noqa: BLE001 - the driver's own error: nobody is to get such a session
            connection.invalidate()


def end_connection(connection: Connection) -> None:
    """End a connection without a word, and let the pool open another one."""
    with suppress(Exception):
        connection.invalidate()
    with suppress(Exception):
        connection.close()
