"""The outboxes of a process, which may be made on many threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import MetaData

from asyncflow import Outbox
from asyncflow.outbox.living import outboxes

TIMES = 300


@pytest.mark.usefixtures("_restless")
def test_outboxes_are_made_on_many_threads_while_others_look_for_theirs() -> None:
    outbox = Outbox(MetaData())

    def make_and_look(_: int) -> bool:
        Outbox(MetaData())
        return outbox in outboxes()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(make_and_look, range(TIMES)))
