"""The page about etcd: its code makes a scheduler, and its table has the options that there are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from asyncflow import Outbox, Scheduler
from asyncflow.integrations.etcd import EtcdRegistry
from asyncflow.integrations.etcd.registry import CLIENT_OPTIONS
from asyncflow.outbox.options import field_names
from asyncflow.scheduler.cluster.signs.board_registry import BoardRegistry
from tests.support.snippets import ROOT, snippets

PAGE = "docs/etcd.md"


def test_the_code_of_the_page_makes_a_scheduler_that_connects_to_nothing_yet() -> None:
    pytest.importorskip("etcd3gw")
    names: dict[str, Any] = {
        "Scheduler": Scheduler,
        "engine": create_engine("sqlite://"),
        "outbox": Outbox(MetaData()),
        "publishers": {},
    }
    for block in snippets(PAGE):
        exec(block, names)
    assert isinstance(names["scheduler"].cluster.registry, BoardRegistry)


def test_the_page_names_every_option() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| [^|]*\| ", text, re.MULTILINE) == list(field_names(EtcdRegistry))
    assert [name for name in CLIENT_OPTIONS if f"`{name}`" not in text] == []
