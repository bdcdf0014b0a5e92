"""The page about what is around, after and out of a handler holds what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asyncflow.testing import advance, drain, rolled_back
from tests.support.snippets import snippets


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "main"}
    first, *others = snippets("docs/flows.md")
    exec(first, names)
    names["engine"] = names["create_engine"](f"sqlite:///{tmp_path}/shop.db?timeout=60")
    names["Base"].metadata.create_all(names["engine"])
    for block in others:
        exec(block, names)
    return names


def test_the_tenant_is_there_in_the_handler(names: dict[str, Any]) -> None:
    with names["Session"](names["engine"]) as session, session.begin():
        names["register"].options(headers={"tenant": "acme"}).enqueue(session, account_no="A1001")
    names["Scheduler"](names["engine"], names["outbox"], {}).drain(raise_errors=True)
    with names["Session"](names["engine"]) as session:
        assert session.get(names["User"], "A1001").tenant == "acme"


def test_the_tasks_come_one_after_the_other_and_the_result_is_kept(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    engine, outbox = names["engine"], names["outbox"]
    assert names["Scheduler"](engine, outbox, {}).drain(raise_errors=True).left == {"tell": 1}
    assert "welcome A1002" in capsys.readouterr().out
    assert isinstance(outbox.wait_result(engine, names["task_id"], timeout_seconds=0), names["Done"])
    with rolled_back(engine) as session:
        advance(session, 60, outbox=outbox)
        drain(session, outbox=outbox)
    assert capsys.readouterr().out == "A1002 has 1\n"
