"""The threads of a consumer that is started: they keep no process from its end."""

from __future__ import annotations

import pytest

from tests.support.main_thread import run_program

PROGRAM = """
import threading
from sqlalchemy import MetaData, create_engine
from asyncflow import Inbox, Outbox
from asyncflow.consuming.consumer import BaseConsumer

stepped = threading.Event()

class Idle(BaseConsumer):
    def _keep_the_parents(self): ...
    def _step(self, subscribers):
        stepped.set()
        threading.Event().wait()
    def _leave(self): ...

metadata = MetaData()
"""
OF_FUNCTIONS = """
consumer = Idle(create_engine("sqlite:///none.db"), Outbox(metadata), Inbox(metadata), [])

@consumer.subscribe("moved")
def move(session, payload=None): ...
"""
OF_COROUTINES = """
from sqlalchemy.ext.asyncio import create_async_engine
engine = create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none")
consumer = Idle(engine, Outbox(metadata), Inbox(metadata), [])

@consumer.subscribe("moved")
async def move(session, payload=None): ...
"""
END = """
consumer.start()
assert stepped.wait(60)
print("started", flush=True)
"""


@pytest.mark.parametrize("kind", [OF_FUNCTIONS, OF_COROUTINES], ids=["functions", "coroutines"])
def test_a_consumer_that_was_started_lets_the_process_end(kind: str) -> None:
    assert run_program(PROGRAM + kind + END) == ("started\n", "", 0)
