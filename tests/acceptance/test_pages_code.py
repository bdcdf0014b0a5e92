"""The code of the pages that are no application of their own is run as it is printed, and does what they say."""

from __future__ import annotations

import importlib
import re
import sys
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from flask import Flask
from flask_migrate import Migrate
from litestar.testing import AsyncTestClient
from sqlalchemy import MetaData, create_engine, select
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio
from sqlalchemy.orm import Session
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from asyncflow import Outbox, Status
from asyncflow.events import TasksSettled
from asyncflow.scheduler import engines_from_toml
from asyncflow.testing import Signals, drain, enqueued, rolled_back
from tests.support.memory_queue import MemoryQueue
from tests.support.snippets import ROOT, snippets

SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
PROJECT = re.compile(r"^\*\*([\w-]+)\.?\*\*(.*?)(?=^\*\*[\w-]+\.?\*\*|\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty directory: the pages' databases are files."""
    monkeypatch.chdir(tmp_path)


def module_of(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    return module


# -- recipes ---------------------------------------------------------------------------------------------


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the module of the page, with its tables."""
    shop = module_of("shop", monkeypatch)
    for block in snippets("docs/recipes.md"):
        exec(block, shop.__dict__)
    shop.Base.metadata.create_all(shop.engine)
    return shop


def test_the_recipe_of_a_rollback_is_a_test_that_passes(recipes: Any) -> None:
    recipes.test_nothing_is_sent_of_a_registration_that_was_rolled_back()


def test_the_recipes_of_chains_and_joins_do_all_their_tasks(recipes: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with rolled_back(recipes.engine) as session:
        session.add(recipes.User(account_no="A1001"))
        recipes.issue_first(session, "A1001")
        recipes.measure(session, "Walden", "I went to the woods")
        recipes.print_book(session, 7, 3)
        drained = drain(session, outbox=recipes.outbox, raise_errors=True)
    assert drained.done == 1 + 1 + 2 + 3 + 1
    told = capsys.readouterr().out.splitlines()
    assert set(told) == {"welcome, A1001: 1 coupons", "Walden has 19 letters", "book 7 is bound"}


def test_the_recipes_that_look_at_the_row_first_cancel_what_has_none(recipes: Any) -> None:
    with rolled_back(recipes.engine) as session:
        session.add(recipes.User(account_no="A1001", coupons=-1))
        for task in (recipes.remind, recipes.recount):
            task.enqueue(session, account_no="A1001")
            task.enqueue(session, account_no="nobody")
        drained = drain(session, outbox=recipes.outbox, raise_errors=True)
        assert session.scalars(select(recipes.User.coupons)).all() == [0]
    assert (drained.done, drained.cancelled) == (2, 2)


def test_the_recipe_of_a_cancellation_cancels_what_waits_under_the_key(recipes: Any) -> None:
    with Session(recipes.engine) as session, session.begin():
        for account_no in ("A1001", "A1001", "B7"):
            recipes.issue_coupon.options(key=account_no).enqueue(session, account_no=account_no)
    assert recipes.forget_user("A1001") == 2


def test_the_recipes_that_publish_enqueue_and_delete_in_the_callers_transaction(recipes: Any) -> None:
    with rolled_back(recipes.engine) as session:
        recipes.move(session, "A1001", 5)
        recipes.tell_partner(session, "A1001")
        recipes.store(session, b"a large document")
        recipes.order_picture(session, "cat.png", is_urgent=True)
        session.add_all(recipes.Login(seen_at=recipes.datetime(2020, 1, 1)) for _ in range(3))
        recipes.forget_logins.enqueue(session)
        named = {task.task_type for task in enqueued(session, outbox=recipes.outbox)}
        assert named == {"account.moved", "webhook.send", "document.stored", "render.now", "forget_logins"}
        recipes.forget_logins(session)
        assert session.scalars(select(recipes.Login.id)).all() == []


def test_the_recipe_of_the_night_switches_the_type_by_the_clock(recipes: Any) -> None:
    def is_day() -> bool:
        return bool(6 <= recipes.datetime.now(recipes.BERLIN).hour < 22)

    before = is_day()
    recipes.open_and_close()
    enabled = recipes.Configurations(recipes.engine, recipes.outbox).get("render.some-time").enabled
    assert enabled in {before, is_day()}


def test_the_recipe_of_another_broker_sends_what_waited_there(recipes: Any) -> None:
    with Session(recipes.engine) as session, session.begin():
        recipes.outbox.publish(session, "invoice.issued", {"number": 1})
    recipes.scheduler.drain()
    assert ([one.topic for one in recipes.new.records], recipes.old.records) == (["invoice.issued"], [])


# -- change data capture -----------------------------------------------------------------------------------


def test_the_page_of_change_data_capture_has_a_test_that_the_shipped_list_passes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    page: Any = module_of("captured", monkeypatch)
    for block in snippets("docs/cdc.md"):
        exec(block, page.__dict__)
    page.test_every_captured_type_is_one_that_the_connector_sends()
    page.outbox.message("order.lost", captured=True)
    with pytest.raises(AssertionError):
        page.test_every_captured_type_is_one_that_the_connector_sends()


# -- encryption ------------------------------------------------------------------------------------------


def test_the_page_of_encryption_keeps_its_promises(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    page: Any = module_of("sealing", monkeypatch)
    blocks = snippets("docs/encryption.md")
    forget = next(place for place, block in enumerate(blocks) if "forget" in block.co_names and place > 2)
    for block in blocks[:forget]:
        exec(block, page.__dict__)
    with page.engine.connect() as connection:
        bodies = [bytes(one) for one in connection.scalars(select(page.outbox.tasks.c.payload))]
    assert len(bodies) == 2
    assert not any(b"ann@shop.test" in body for body in bodies)
    for block in blocks[forget:]:
        exec(block, page.__dict__)
    assert "initech: 8" in capsys.readouterr().out
    with page.engine.connect() as connection:
        rows = connection.execute(select(page.tenants.tasks).order_by(page.tenants.tasks.c.id)).all()
    assert [row.status for row in rows] == [Status.FAILED, Status.SUCCESS]
    assert "KeyGoneError: the key 'acme' is gone" in rows[0].schedule_log
    facts = page.PayloadFacts(uuid.uuid4(), "salary.paid", "A1", {})
    for cipher in (page.Wrapping(), page.rotated):
        made = cipher.encrypt(b"secret", facts)
        headers = {"message-id": str(facts.id).encode(), "message-type": b"salary.paid"}
        headers |= {"payload-encryption": made.algorithm.encode(), "payload-key-id": made.key_id.encode()}
        assert cipher.decrypt(made, facts) == b"secret"
    assert page.received(made.content, headers, b"A1") == b"secret"
    assert page.outbox.encryption.of(page.outbox.task_types["salary.paid"]) == "end_to_end"


# -- outcomes --------------------------------------------------------------------------------------------


def test_the_page_of_outcomes_tells_of_both_its_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    page: Any = module_of("telling", monkeypatch)
    for block in snippets("docs/outcomes.md"):
        exec(block, page.__dict__)
    told = {one["task_type"]: one for one in (orjson.loads(record.value) for record in page.publisher.records)}
    assert {name: one["outcome"] for name, one in told.items()} == {"price": "success", "invoice.send": "failed"}
    assert (told["price"]["result"], told["invoice.send"]["error"]) == (21, "RejectTask: order … has no address")


# -- roll-over -------------------------------------------------------------------------------------------


def test_the_page_of_roll_over_declares_the_positions_and_hides_the_numbered_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page: Any = module_of("rolling", monkeypatch)
    for block in snippets("docs/roll-over.md"):
        exec(block, page.__dict__)
    assert "asyncflow_schedule_pos" in {table.name for table in page.outbox.all_tables}
    assert not page.include_name("asyncflow_task_7", "table", {})
    assert page.include_name("asyncflow_task", "table", {})


# -- side by side ----------------------------------------------------------------------------------------


def projects() -> dict[str, dict[str, list[str]]]:
    """Return the blocks of the page by section and project."""
    page = (ROOT / "docs/compare.md").read_text(encoding="utf-8")
    return {
        title: {name: BLOCK.findall(told) for name, told in PROJECT.findall(content)}
        for title, content in SECTION.findall(page)
    }


def test_our_side_of_the_comparison_runs_and_its_test_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = module_of("shop", monkeypatch)
    blocks = [block for section in projects().values() for block in section.get("asyncflow", ())]
    for block in blocks:
        if not block.startswith("$"):
            exec(compile(block, "docs/compare.md", "exec", dont_inherit=True), shop.__dict__)
    shop.Base.metadata.create_all(shop.engine)
    shop.test_a_registration_makes_a_coupon()


def test_the_python_of_the_others_can_be_read() -> None:
    assert len(snippets("docs/compare.md")) == 16  # which compiles each


def test_the_lines_in_the_table_are_those_of_the_blocks() -> None:
    page = (ROOT / "docs/compare.md").read_text(encoding="utf-8")
    table = page.partition("| lines / steps |")[2].partition("\n\n")[0].splitlines()
    names = [name.strip() for name in table[0].split("|") if name.strip()]
    sections = list(projects().values())
    for number, row in enumerate(table[2:]):
        told = [cell.strip().partition(" / ")[0] for cell in row.split("|")[2:-1]]
        counted = [str(lines_of(sections[number].get(name, []))) for name in names]
        assert told == [count if count != "0" else "\N{EN DASH}" for count in counted], row


def lines_of(blocks: list[str]) -> int:
    """Return how many lines of the last block are not empty, nor imports; the one before it is the model."""
    lines = blocks[-1].splitlines() if blocks else []
    return len([line for line in lines if line.strip() and not line.startswith(("import ", "from "))])


# -- the dashboard ---------------------------------------------------------------------------------------


def test_the_dashboard_is_mounted_as_its_page_says() -> None:
    mount, mount_in_flask, person_of, settings = snippets("docs/dashboard.md")
    metadata = MetaData()
    names: dict[str, Any] = {"engine": create_engine("sqlite:///shop.db?timeout=60"), "outbox": Outbox(metadata)}
    metadata.create_all(names["engine"])
    exec(person_of, names)
    names["app"] = FastAPI()
    exec(mount, names)
    assert "/ops" in {getattr(route, "path", None) for route in names["app"].routes}
    names |= {"app": Flask("shop"), "DispatcherMiddleware": DispatcherMiddleware}
    exec(mount_in_flask, names)
    assert list(names["app"].wsgi_app.mounts) == ["/ops"]
    exec(settings, names)
    assert names["settings"].title == "the shop"


# -- frameworks ------------------------------------------------------------------------------------------


async def test_the_application_of_the_page_about_litestar_registers_and_issues(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = module_of("shop", monkeypatch)
    program, _ = snippets("docs/fastapi.md")
    exec(program, shop.__dict__)
    make = sqlalchemy_asyncio.create_async_engine
    monkeypatch.setattr(
        sqlalchemy_asyncio, "create_async_engine", lambda _: make("sqlite+aiosqlite:///shop.db?timeout=50")
    )
    names = module_of("main", monkeypatch).__dict__
    (block,) = snippets("docs/litestar.md")
    exec(block, names)
    names["app"].on_shutdown.append(names["engine"].dispose)  # on its loop, which is not the test's
    engine = create_engine("sqlite:///shop.db?timeout=50")
    shop.outbox.tasks.metadata.create_all(engine)
    async with AsyncTestClient(names["app"]) as client:
        answer = await client.post("/users/A1001")
        assert (answer.status_code, answer.json()) == (201, {"account_no": "A1001"})
    with engine.connect() as connection:
        assert connection.scalars(select(shop.User.account_no)).all() == ["A1001"]
        assert connection.scalars(select(shop.outbox.tasks.c.task_type)).all() == ["issue_coupon"]
    engine.dispose()


def test_the_line_of_the_page_about_flask_lets_migrations_render_our_types(monkeypatch: pytest.MonkeyPatch) -> None:
    flask_app = importlib.import_module("examples.flask_app.app")
    names = {"Migrate": Migrate, "app": flask_app.create_app(), "db": flask_app.db}
    *_, line = [block for block in snippets("docs/flask.md") if "Migrate" in block.co_names]
    exec(line, names)
    assert callable(names["migrate"].alembic_ctx_kwargs["render_item"])


# -- several databases -----------------------------------------------------------------------------------


@pytest.fixture
def spread(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the module of the page, with its tables in each database."""
    shop = module_of("shop", monkeypatch)
    for block in snippets("docs/databases.md"):
        exec(block, shop.__dict__)
    for engine in shop.databases.values():
        shop.Base.metadata.create_all(engine)
    return shop


def test_the_page_of_several_databases_writes_each_account_where_its_rule_says(spread: Any) -> None:
    accounts = [f"A{number}" for number in range(20)]
    for account_no in accounts:
        spread.register(account_no)
    for name, engine in spread.databases.items():
        with Session(engine) as session:
            its = set(session.scalars(select(spread.User.account_no)))
            assert its == {one for one in accounts if spread.databases.name_of(one) == name}
            assert set(session.scalars(select(spread.outbox.tasks.c.task_key))) == its


def test_the_page_of_several_databases_moves_slot_by_slot(spread: Any) -> None:
    accounts = [f"A{number}" for number in range(200)]
    moving = {slot for slots in spread.moves.values() for slot in slots}
    assert {new for _, new in spread.moves} == {"db2"}
    assert [spread.between.name_of(one) for one in accounts] == [spread.databases.name_of(one) for one in accounts]
    spread.moved.update(moving)
    assert [spread.between.name_of(one) for one in accounts] == [spread.wider.name_of(one) for one in accounts]
    assert [spread.parted.name_of(number) for number in (4, 7)] == ["even", "odd"]


def test_the_page_of_several_databases_serves_all_of_them(spread: Any) -> None:
    for number in range(20):
        spread.register(f"A{number}")
    assert spread.scheduler.drain().sent == 20
    assert spread.scheduler.databases == ("db0", "db1")


def test_the_page_of_several_databases_names_them_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs/databases.md").read_text(encoding="utf-8"), re.M | re.S)
    (tmp_path / "databases.toml").write_text(text)
    monkeypatch.setenv("SHOP_DB1", "sqlite:///shop-1.db")
    assert list(engines_from_toml("databases.toml", pool_size=10)) == ["db0", "db1"]


# -- drivers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["docs/drivers.md", "docs/zh/drivers.md"])
def test_the_engine_of_the_page_of_drivers_prepares_nothing(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    (block,) = snippets(page)
    exec(block, names)
    asked: list[Any] = []

    def connect(*_: Any, **options: Any) -> Any:
        asked.append(options["prepare_threshold"])
        raise ConnectionRefusedError("there is no such host")

    monkeypatch.setattr(names["engine"].dialect.dbapi, "connect", connect)
    with pytest.raises(ConnectionRefusedError):
        names["engine"].connect()
    assert asked == [None]


# -- a queue to workers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["docs/queue.md", "docs/zh/queue.md"])
def test_the_page_of_the_queue_has_a_task_done_by_its_worker(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from asyncflow.integrations import redis

    monkeypatch.setattr(redis, "RedisQueue", lambda url, namespace: MemoryQueue())
    shop = module_of("shop", monkeypatch)
    for block in snippets(page):
        exec(block, shop.__dict__)
    shop.metadata.create_all(shop.engine)
    signals = Signals()
    scheduler, worker = shop.make_scheduler(), shop.make_worker()
    scheduler.hooks.add(signals)
    with scheduler, worker:
        with Session(shop.engine) as session, session.begin():
            shop.outbox.enqueue(session, shop.issue_coupon, account_no="A1001")
        signals.wait_for(TasksSettled, lambda event: event.succeeded == 1)
    assert capsys.readouterr().out == "a coupon for A1001\n"
