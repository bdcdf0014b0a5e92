"""Counts are told once, though the answer of any COMMIT that writes them is lost."""

from __future__ import annotations

import pytest
from sqlalchemy import URL, MetaData

from asyncflow import Outbox
from asyncflow.events import Hooks, TasksSettled
from asyncflow.scheduler.charts.chart_writer import ChartWriter
from asyncflow.scheduler.charts.charts import charts
from asyncflow.scheduler.charts.minute_counts import MinuteCounts
from asyncflow.scheduler.connections.database import Database
from tests.support.databases import drop_everything, open_engine
from tests.support.proxy import proxy_to


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_counts_whose_commit_had_no_answer_are_told_once(database_url: URL) -> None:
    with proxy_to(database_url) as (proxy, url):
        engine, through = open_engine(database_url), open_engine(url)
        outbox, counts = Outbox(MetaData()), MinuteCounts()
        outbox.message("a")
        outbox.tasks.metadata.create_all(engine)
        writer = ChartWriter(outbox, Database(through), counts, Hooks())
        for written, _ in enumerate(proxy.each_lost(), 1):
            counts(TasksSettled("kafka", 1, 0, 0, 0.0, of_types=(("a", 1),)))
            writer.write()
            found = charts(engine, outbox)
            assert found.of_all.totals["sent"] == found.types[0].totals["sent"] == written
        assert written > 1
        through.dispose()
        drop_everything(engine)
        engine.dispose()
