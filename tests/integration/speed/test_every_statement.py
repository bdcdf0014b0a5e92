"""Every statement of scheduler, service, command line and cleaner has a bound for the rows that it examines.

At very many lanes with rows of all statuses, beside two of many rows; with plans for what is there, and for 11 million
rows. A place that sends a statement and has no bound fails the test; each verb has a bound for the statements it sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from tests.integration.speed.bounds import BOUNDS
from tests.integration.speed.crowd import Crowd, Size, Verb
from tests.integration.speed.places import watching
from tests.support.databases import fresh_database, open_engine

pytestmark = pytest.mark.long

FEW = Size(types=300, shards=8, hot_rows=2_000)  # more lanes than a look reads
SOME, MANY = Size(types=300, shards=64, hot_rows=20_000), Size(types=10_000, shards=64, hot_rows=100_000)


@pytest.fixture(scope="module", params=[FEW, SOME, MANY], ids=str)
def size(request: pytest.FixtureRequest) -> Size:
    found: Size = request.param
    return found


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def crowd(request: pytest.FixtureRequest, size: Size, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Give a table of so many lanes, on the two servers."""
    with fresh_database(request.param, tmp_path_factory.mktemp("crowd")) as url:
        engine = open_engine(url)
        yield Crowd(engine, size)
        engine.dispose()


@pytest.mark.timeout(1800)
def test_every_statement_examines_a_few_rows_for_each_that_it_returns(crowd: Crowd) -> None:
    faults = faults_of(crowd, crowd.looks())
    crowd.believing()
    faults += faults_of(crowd, crowd.looks())
    faults += faults_of(crowd, crowd.changes())
    assert not faults, "\n".join(dict.fromkeys(faults))


def faults_of(crowd: Crowd, verbs: Iterable[Verb]) -> list[str]:
    """Do all of it; return for each place the worst of what it examined beyond its bound."""
    faults: dict[str, tuple[int, str]] = {}
    for verb, most, work in verbs:
        with watching(crowd.engine) as sent:
            work()
        if len(sent) > most:
            faults[verb] = len(sent), f"{verb} sends {len(sent)} statements, and may send {most}"
        for one in sent:
            bound = BOUNDS.get(one.place)
            if bound is None:
                faults[one.place] = 0, f"{verb}: {one.place} has no bound here: {one.text[:300]}"
            elif not bound.holds(one, crowd.fullest) and one.examined > faults.get(one.place, (0, ""))[0]:
                told = f"examines {one.examined} rows to return {one.returned}: {one.text[:300]}"
                faults[one.place] = one.examined, f"{verb}: {one.place} {told}"
    return [told for _, told in faults.values()]
