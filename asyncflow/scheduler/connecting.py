"""Getting a connection from the application's pool, within a limit."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress

from sqlalchemy import Connection, Engine

from asyncflow.errors import ConnectionSilentError
from asyncflow.scheduler.driver_sockets import cut_lines_of


def connect_within(engine: Engine, seconds: float) -> Connection:
    """Return a connection of the engine; raises ConnectionSilentError, or what the engine raises.

    On a thread for the moment, for the engine's own limits are the application's: most drivers wait for ever for a
    server that took the call and says nothing. What comes too late goes back to the pool.
    """
    taken: Future[Connection] = Future()

    def connect() -> None:
        try:
            connection = engine.connect()
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
        if thread.ident is not None:
            cut_lines_of(thread.ident)
        raise ConnectionSilentError(
            f"no connection to {engine.url.render_as_string()} within {seconds:g} seconds: the pool has none left, or "
            f"the server or the network says nothing; it is tried again"
        ) from None
