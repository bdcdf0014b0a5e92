"""The page about Redis: its code makes what it says, and its tables have the options that there are."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from asyncflow import Outbox, Scheduler
from asyncflow.integrations.redis import Lock, RedisRegistry
from asyncflow.outbox.options import field_names
from asyncflow.scheduler.cluster.signs.board_registry import BoardRegistry
from tests.support.redis_registry import redis_at
from tests.support.snippets import ROOT, snippets

PAGE = "docs/redis.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


def test_the_code_of_the_page_makes_a_scheduler_that_connects_to_nothing_yet() -> None:
    pytest.importorskip("redis")
    names: dict[str, Any] = {
        "Scheduler": Scheduler,
        "engine": create_engine("sqlite://"),
        "outbox": Outbox(MetaData()),
        "publishers": {},
    }
    exec(snippets(PAGE)[0], names)
    assert isinstance(names["scheduler"].cluster.registry, BoardRegistry)


def test_the_page_names_every_option_of_the_registry() -> None:
    table = TEXT.split("| option of `RedisRegistry`")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \| [^|]*\| ", table, re.MULTILINE) == list(field_names(RedisRegistry))


def test_the_lock_of_the_page_sends_with_a_token() -> None:
    url = redis_at()
    names: dict[str, Any] = {}
    exec(snippets(PAGE)[1], names)
    assert isinstance(names["mailing"], Lock)
    names["mailing"] = Lock(url, names["mailing"].name, namespace=f"asyncflow-test-{uuid.uuid4().hex}")
    sent: list[tuple[str, int]] = []
    names["send_newsletter"](["a", "b"], lambda letter, fencing_token: sent.append((letter, fencing_token)))
    names["send_newsletter"](["c"], lambda letter, fencing_token: sent.append((letter, fencing_token)))
    assert [letter for letter, _ in sent] == ["a", "b", "c"]
    assert sent[0][1] == sent[1][1] < sent[2][1]
