"""The answer of each COMMIT of a day is lost in turn: nothing is lost, doubled, misordered or stuck."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

from tests.chaos.findings import Tell
from tests.support.databases import open_engine
from tests.support.lost_answers import live
from tests.support.proxy import proxy_to


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
@pytest.mark.parametrize("on_success", ["keep", "delete"])
def test_each_commit_of_a_day_may_lose_its_answer(database_url: URL, on_success: str, finding: Tell) -> None:
    engine = open_engine(database_url)
    with proxy_to(database_url) as (proxy, url):
        commits = live(engine, proxy, url, None, on_success=on_success)
        for number in range(1, commits + 1):
            live(engine, proxy, url, number, on_success=on_success)
        finding(f"{commits} commits, the answer of each lost in turn ({len(proxy.lost)} were)")
        assert len(proxy.lost) > commits / 2
    engine.dispose()
