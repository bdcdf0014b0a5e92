"""One service over three databases, one of each kind: together and apart; a silent one holds up itself alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import MetaData

from asyncflow import Databases as Spread
from asyncflow import Outbox
from asyncflow.errors import OptionError
from asyncflow.events import Event, StepFailed, TasksSettled
from asyncflow.integrations.flowsvr import ServiceSettings, make_app
from asyncflow.integrations.flowsvr.together import joint_holds
from tests.integration.integrations.flowsvr.conftest import SECRETS, TOKENS, Client
from tests.support.databases import Databases, drop_everything, open_engine
from tests.support.proxy import Proxy, proxy_to

NAMES = {"db0": "sqlite", "db1": "mariadb", "db2": "postgresql"}


class Shops:
    """Have a database of each kind, those of servers behind proxies, and an outbox whose keys lie in all of them."""

    def __init__(self, databases: Databases, until: ExitStack) -> None:
        self.proxies: dict[str, Proxy] = {}
        self.engines = {}
        self.heard: list[Event] = []
        self.past = {name: open_engine(databases.url(kind)) for name, kind in NAMES.items()}
        for name, kind in NAMES.items():
            url = databases.url(kind)
            if kind != "sqlite":
                self.proxies[name], url = until.enter_context(proxy_to(url))
            self.engines[name] = open_engine(url)
            until.callback(drop_everything, self.past[name])
        metadata = MetaData()
        self.outbox = Outbox(metadata, databases=Spread(self.engines))
        self.outbox.task("mail", max_retries=2, retry_interval_seconds=5)
        for engine in self.past.values():
            metadata.create_all(engine)

    def keys(self, name: str, count: int) -> list[str]:
        """Return keys that lie in a database."""
        found = (f"k{number}" for number in range(10_000) if self.outbox.databases.name_of(f"k{number}") == name)
        return [next(found) for _ in range(count)]


class Replica:
    """Be one replica, with a client for each role."""

    def __init__(self, shops: Shops) -> None:
        settings = ServiceSettings(look_interval_seconds=0.02, busy_timeout_seconds=60.0)
        self.app = make_app(shops.engines, shops.outbox, TOKENS, settings, [shops.heard.append])
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://service", timeout=120)
        self.producer, self.worker, self.admin = (Client(self.client, role) for role in SECRETS)

    async def create(self, key: str) -> Any:
        reply = await self.producer("POST", "/v2/tasks", {"task_type": "mail", "key": key})
        assert reply.status_code == 201, reply.text
        return reply.json()

    async def hold(self, most: int, worker: str = "w1", **fields: Any) -> list[Any]:
        reply = await self.worker("POST", "/v2/tasks/hold", {"worker": worker, "limits": {"mail": most}, **fields})
        assert reply.status_code == 200, reply.text
        tasks: list[Any] = reply.json()["tasks"]
        return tasks

    async def set(self, tasks: list[Any]) -> list[Any]:
        outcomes = [{"id": task["id"], "token": task["token"], "outcome": "success"} for task in tasks]
        reply = await self.worker("POST", "/v2/tasks/set", {"outcomes": outcomes})
        assert reply.status_code == 200, reply.text
        results: list[Any] = reply.json()["results"]
        return results


@pytest.fixture
def shops(databases: Databases) -> Iterator[Shops]:
    with ExitStack() as until:
        yield Shops(databases, until)


@pytest.fixture
async def two(shops: Shops) -> AsyncIterator[list[Replica]]:
    """Give two replicas."""
    replicas = [Replica(shops) for _ in range(2)]
    yield replicas
    for proxy in shops.proxies.values():
        proxy.resume()
    for replica in replicas:
        await replica.client.aclose()
        await replica.app.state.served.stop()


async def test_a_task_is_created_in_the_database_of_its_key_and_seen_together_and_apart(
    shops: Shops, two: list[Replica]
) -> None:
    made = {name: [await two[0].create(key) for key in shops.keys(name, 2)] for name in NAMES}
    assert {name: {one["database"] for one in some} for name, some in made.items()} == {name: {name} for name in NAMES}
    for name, some in made.items():
        seen = await two[1].producer("GET", f"/v2/tasks/{some[0]['id']}")
        assert seen.json()["database"] == name
        apart = await two[1].producer("GET", f"/databases/{name}/v2/counts")
        assert apart.json()["counts"]["mail"]["PENDING"] == 2
        others = [other for other in NAMES if other != name]
        elsewhere = await two[1].producer("GET", f"/databases/{others[0]}/v2/tasks/{some[0]['id']}")
        assert elsewhere.status_code == 404
    together = await two[1].producer("GET", "/v2/counts")
    assert together.json()["counts"]["mail"]["PENDING"] == 6
    assert (await two[1].producer("GET", f"/v2/tasks/{uuid4()}")).status_code == 404
    everything = [(name, one["id"]) for name, some in made.items() for one in some]
    assert await listed(two[1]) == (everything, [])


async def listed(replica: Replica) -> tuple[list[tuple[str, str]], list[str]]:
    """Walk through the list; return where each task lies, and which databases were left out."""
    found, away, cursor = [], [], ""
    for _ in range(40):
        reply = (await replica.producer("GET", f"/v2/tasks?limit=1{cursor}")).json()
        found += [(task["database"], task["id"]) for task in reply["tasks"]]
        away += reply.get("away", [])
        if reply["next"] is None:
            return sorted(found), away
        cursor = f"&cursor={reply['next']}"
    raise AssertionError("the list has no end")


async def test_what_leads_to_no_database_is_refused_with_the_way_to_say_which(shops: Shops, two: list[Replica]) -> None:
    keyless = await two[0].producer("POST", "/v2/tasks", {"task_type": "mail"})
    assert (keyless.status_code, keyless.json()["field"]) == (422, "key")
    assert "/databases/NAME, of db0, db1, db2" in keyless.json()["detail"]
    keys = [shops.keys(name, 1)[0] for name in ("db0", "db1")]
    mixed = {"task_type": "mail", "tasks": [{"key": key} for key in keys]}
    reply = await two[0].producer("POST", "/v2/tasks/bulk", mixed)
    assert (reply.status_code, reply.json()["field"]) == (422, "tasks")
    named = await two[0].producer("POST", "/databases/db2/v2/tasks/bulk", mixed)
    assert named.status_code == 201
    of_all = await two[0].admin("PUT", "/v2/configuration/mail", {"max_retries": 3})
    assert of_all.status_code == 422
    assert "/databases/NAME/v2/configuration/mail, with a name of db0, db1, db2" in of_all.json()["detail"]
    assert (await two[0].admin("PUT", "/databases/db1/v2/configuration/mail", {"max_retries": 3})).status_code == 200
    unknown = await two[0].producer("GET", "/databases/db3/v2/counts")
    assert unknown.status_code == 404
    assert "there are db0, db1, db2" in unknown.json()["detail"]
    assert (await two[0].client.get("/databases/db3/readyz")).status_code == 404


async def test_who_has_not_given_a_claim_finds_its_database(shops: Shops, two: list[Replica]) -> None:
    for name in NAMES:
        await two[0].create(shops.keys(name, 1)[0])
    held: list[Any] = []
    while len(held) < 3:
        held += await two[0].hold(1, wait_seconds=5)
    assert {task["database"] for task in held} == set(NAMES)
    claims = [{"id": task["id"], "token": task["token"]} for task in held]
    foreign = {"id": str(uuid4()), "token": str(uuid4())}
    renewed = await two[1].worker("POST", "/v2/tasks/renew", {"claims": [*claims, foreign]})
    assert renewed.json() == {"lost": [foreign["id"]]}
    for task in held:
        body = {"token": task["token"], "stage": "half"}
        assert (await two[1].worker("PUT", f"/v2/tasks/{task['id']}/checkpoint", body)).status_code == 200
    results = await two[1].set([*held, foreign])
    assert [one["settled"] for one in results] == [True, True, True, False]
    assert {event.database_name for event in shops.heard if isinstance(event, TasksSettled)} == set(NAMES)


async def test_a_backlog_of_one_database_starves_no_other(shops: Shops, two: list[Replica]) -> None:
    for key in shops.keys("db1", 12):
        await two[0].create(key)
    await two[0].create(shops.keys("db2", 1)[0])
    first: list[Any] = []
    while len(first) < 6:
        first += await two[0].hold(2, wait_seconds=5)
    assert "db2" in {task["database"] for task in first}


@pytest.mark.parametrize("hurt", ["silent", "killed"])
async def test_a_database_that_is_away_holds_up_itself_alone(shops: Shops, two: list[Replica], hurt: str) -> None:
    for name in NAMES:
        for key in shops.keys(name, 4):
            await two[0].create(key)
    held: list[Any] = []
    while len(held) < 12:  # what a database gives late comes with a later hold
        held += await two[0].hold(6, wait_seconds=5)
    assert Counter(task["database"] for task in held) == dict.fromkeys(NAMES, 4)
    for key in [*shops.keys("db0", 2), *shops.keys("db2", 2)]:
        await two[0].create(key)
    of_away = [task for task in held if task["database"] == "db1"]

    proxy = shops.proxies["db1"]
    if hurt == "silent":
        proxy.stall()
    else:
        proxy.refuse()
        proxy.reset()
    results = await two[0].set(held)
    assert [one["id"] for one in results if one.get("locked")] == [task["id"] for task in of_away]
    assert sum(one["settled"] for one in results) == 8
    more: list[Any] = []
    while len(more) < 4:
        more += await two[0].hold(10, wait_seconds=5)
    assert {task["database"] for task in more} == {"db0", "db2"}
    counts = (await two[0].producer("GET", "/v2/counts")).json()
    assert counts["away"] == ["db1"]
    found, away = await listed(two[0])
    assert (Counter(name for name, _ in found), away) == ({"db0": 6, "db2": 6}, ["db1"])
    assert (await two[0].producer("GET", f"/v2/tasks/{uuid4()}")).json()["away"] == ["db1"]
    assert (await two[0].client.get("/readyz")).status_code == 200

    proxy.resume()
    proxy.refuse(False)
    results = await set_until_told(two[0], of_away)
    assert {one["status"] for one in results} == {"SUCCESS"}
    again = await two[0].create(shops.keys("db1", 1)[0])
    for _ in range(60):
        if late := [task for task in await two[0].hold(10, wait_seconds=5) if task["id"] == again["id"]]:
            assert late[0]["database"] == "db1"
            return
    raise AssertionError("the database is asked no more")


async def set_until_told(replica: Replica, tasks: list[Any]) -> list[Any]:
    """Tell the outcomes again until none is as locked: what was told first may have been written late."""
    for _ in range(200):
        results = await replica.set(tasks)
        if not any(one.get("locked") for one in results):
            return results
    raise AssertionError(f"not told: {results}")


async def test_what_a_slow_database_gives_is_for_its_workers_next_hold_or_for_another(
    shops: Shops, two: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint_holds, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(joint_holds, "_KEPT_SECONDS", 60.0)
    for key in shops.keys("db1", 4):
        await two[0].create(key)
    assert await two[0].hold(2, "w1") == []  # it is asked on
    assert len(await hold_until_given(two[0], 2, "w1")) == 2
    monkeypatch.setattr(joint_holds, "_KEPT_SECONDS", 0.05)
    assert await two[0].hold(2, "gone") == []
    assert len(await hold_until_given(two[0], 2, "w2")) == 2


async def hold_until_given(replica: Replica, most: int, worker: str) -> list[Any]:
    for _ in range(60):
        if tasks := await replica.hold(most, worker, wait_seconds=5):
            return tasks
    raise AssertionError("nothing was given")


async def test_dead_letters_are_listed_together_each_with_its_database(shops: Shops, two: list[Replica]) -> None:
    for name in ("db0", "db2"):
        for key in shops.keys(name, 2):
            await two[0].create(key)
    failed: list[tuple[str, str]] = []
    while len(failed) < 4:
        for task in await two[0].hold(4, wait_seconds=5):
            body = {"token": task["token"], "outcome": "failed"}
            assert (await two[0].worker("PUT", f"/v2/tasks/{task['id']}/outcome", body)).status_code == 200
            failed.append((task["database"], task["id"]))
    assert await letters(two[1]) == (sorted(failed), [])
    name, task_id = failed[0]
    whole = (await two[1].admin("GET", f"/v2/dead-letters/{task_id}")).json()
    assert (whole["status"], whole["database"]) == ("FAILED", name)
    assert (await two[1].admin("GET", "/v2/dead-letters?cursor=db7:")).json()["field"] == "cursor"
    counts = (await two[1].producer("GET", "/v2/counts")).json()
    assert counts["counts"]["mail"]["FAILED"] == 4
    each = {name: its.get("mail", {}).get("FAILED") for name, its in counts["databases"].items()}
    assert each == {"db0": 2, "db1": None, "db2": 2}

    shops.proxies["db1"].stall()
    assert await letters(two[1]) == (sorted(failed), ["db1"])
    shops.proxies["db2"].stall()
    assert await letters(two[1]) == (sorted(one for one in failed if one[0] == "db0"), ["db1", "db2"])


async def letters(replica: Replica) -> tuple[list[tuple[str, str]], list[str]]:
    """Walk through the dead letters; return where each lies, and which databases were left out."""
    found, away, cursor = [], [], ""
    for _ in range(40):
        reply = (await replica.admin("GET", f"/v2/dead-letters?limit=1{cursor}")).json()
        found += [(letter["database"], letter["id"]) for letter in reply["dead_letters"]]
        away += reply.get("away", [])
        if reply["next"] is None:
            return sorted(found), away
        cursor = f"&cursor={reply['next']}"
    raise AssertionError("the list has no end")


async def test_types_and_configuration_are_told_together_and_where_they_differ(
    shops: Shops, two: list[Replica]
) -> None:
    assert (await two[0].admin("PUT", "/databases/db1/v2/configuration/mail", {"max_retries": 7})).status_code == 200
    assert (await two[0].admin("PUT", "/databases/db2/v2/task-types/sms", {"enabled": False})).status_code == 201

    sms, mail = sorted(
        (await two[1].producer("GET", "/v2/task-types")).json()["task_types"], key=lambda one: one["is_declared"]
    )
    assert (sms["databases"], sms["enabled"], "differing" in sms) == (["db2"], False, False)
    assert (mail["databases"], mail["retry_interval_seconds"], mail["max_retries"]) == (list(NAMES), 5, None)
    assert mail["differing"] == {"max_retries": {"db0": 2, "db1": 7, "db2": 2}}
    apart = (await two[1].producer("GET", "/databases/db1/v2/task-types?task_type=mail")).json()["task_types"]
    assert (apart[0]["max_retries"], "databases" in apart[0]) == (7, False)

    set_ones = (await two[1].producer("GET", "/v2/configuration?task_type=mail")).json()["configuration"]
    assert set_ones[0]["differing"] == {"max_retries": {"db0": None, "db1": 7, "db2": None}}
    one = (await two[1].producer("GET", "/v2/configuration/mail")).json()
    assert one == set_ones[0]
    assert (await two[1].producer("GET", "/v2/configuration/none")).status_code == 404

    shops.proxies["db2"].refuse()
    shops.proxies["db2"].reset()
    types = (await two[1].producer("GET", "/v2/task-types")).json()
    assert ([one["task_type"] for one in types["task_types"]], types["away"]) == (["mail"], ["db2"])
    assert (await two[1].producer("GET", "/v2/configuration/mail")).json()["away"] == ["db2"]
    unknown = await two[1].producer("GET", "/v2/configuration/sms")
    assert (unknown.status_code, unknown.json()["away"]) == (503, ["db2"])
    shops.proxies["db2"].refuse(False)


async def test_that_a_database_fails_is_told_with_its_name(shops: Shops, two: list[Replica]) -> None:
    await two[0].create(shops.keys("db1", 1)[0])
    shops.proxies["db1"].refuse()
    shops.proxies["db1"].reset()
    for _ in range(60):
        await two[0].hold(1, wait_seconds=0.2)
        if {event.database_name for event in shops.heard if isinstance(event, StepFailed)} == {"db1"}:
            break
    else:
        raise AssertionError(shops.heard)
    shops.proxies["db1"].refuse(False)


def test_a_service_over_other_databases_than_the_outbox_has_is_refused(shops: Shops) -> None:
    two = {name: shops.engines[name] for name in ("db0", "db1")}
    with pytest.raises(OptionError, match="over the databases db0, db1, db2, and given are db0, db1; give"):
        make_app(two, shops.outbox, TOKENS)
