"""The page about what is around, after and out of a handler holds what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.snippets import snippets


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "main"}
    exec(snippets("docs/flows.md")[0], names)
    names["engine"] = names["create_engine"](f"sqlite:///{tmp_path}/shop.db")
    names["Base"].metadata.create_all(names["engine"])
    return names


def test_the_tenant_is_there_in_the_handler(names: dict[str, Any]) -> None:
    with names["Session"](names["engine"]) as session, session.begin():
        names["register"].options(headers={"tenant": "acme"}).enqueue(session, account_no="A1001")
    names["Scheduler"](names["engine"], names["outbox"], {}).drain(raise_errors=True)
    with names["Session"](names["engine"]) as session:
        assert session.get(names["User"], "A1001").tenant == "acme"
