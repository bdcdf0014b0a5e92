"""A look that is kept is one for all who ask, and keeps nobody waiting for a database that is silent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from asyncflow import Outbox
from asyncflow.errors import OptionError
from asyncflow.scheduler.diagnosis import kept_look
from asyncflow.scheduler.diagnosis.kept_look import KeptLook
from tests.unit.scheduler.waiting import eventually


def looking(monkeypatch: pytest.MonkeyPatch, look: Callable[..., Any], **settings: Any) -> KeptLook:
    monkeypatch.setattr(kept_look, "look_and_find", look)
    return KeptLook(create_engine("sqlite://"), Outbox(MetaData()), **{"kept_seconds": 3600.0, **settings})


def test_what_is_no_engine_is_refused_before_anybody_asks() -> None:
    nothing: Any = "sqlite:///shop.db"
    with pytest.raises(OptionError, match=r"engine is .sqlite:///shop\.db.; give an Engine or an AsyncEngine"):
        KeptLook(nothing, Outbox(MetaData()), 1.0)


@pytest.mark.parametrize("its", [lambda engine: engine, lambda engine: engine.sync_engine], ids=["itself", "within"])
def test_an_engine_whose_driver_is_awaited_has_one_beside_it_that_blocks(tmp_path: Path, its: Any) -> None:
    metadata, url = MetaData(), f"{tmp_path}/shop.db"
    outbox = Outbox(metadata)
    metadata.create_all(create_engine(f"sqlite:///{url}"))
    look = KeptLook(its(create_async_engine(f"sqlite+aiosqlite:///{url}")), outbox, 1.0)
    assert look.latest(60).samples()["look_failed"] == {(): 0.0}


def test_a_database_that_is_silent_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_look, "_PATIENCE_SECONDS", 0.01)
    answered, looks = threading.Event(), []

    def look(*_: Any) -> Any:
        looks.append(1)
        answered.wait(60)
        raise OSError("a secret is no part of it")

    its = looking(monkeypatch, look)
    for _ in range(3):
        assert its.latest().samples()["look_failed"] == {(): 1.0}
    assert looks == [1]
    answered.set()
    eventually(lambda: its._is_done.is_set())
    assert its.latest().samples()["look_failed"] == {(): 1.0}
    assert looks == [1]


def test_all_who_ask_at_one_moment_get_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look(*_: Any) -> Any:
        looks.append(1)
        raise OSError

    its, told = looking(monkeypatch, look), list[Any]()
    threads = [threading.Thread(target=lambda: told.append(its.latest())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(looks) == 1
    assert all(one is told[0] for one in told)


def test_an_old_look_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look(*_: Any) -> Any:
        looks.append(1)
        raise OSError

    its = looking(monkeypatch, look, kept_seconds=0.0)
    first = its.latest()
    assert its.latest() is not first
    assert len(looks) == 2
