"""Bodies are counted in time that grows with their bytes alone, and read as the one thing that JSON is."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from asyncflow.integrations.flowsvr.door.problems import Problem
from asyncflow.integrations.flowsvr.door.reading import MOST_VALUES, require_few_values

MANY = b"[" * (MOST_VALUES + 1)
REST = 8 * 1024 * 1024 - len(MANY)


@pytest.mark.parametrize(
    "rest", [b'"' + b'\\"' * (REST // 2), b'"' * REST, b"\\" * REST, b'["' * (REST // 2)], ids=["escapes", *'"\\[']
)
def test_no_body_takes_long_to_count_whatever_its_texts_hold(rest: bytes) -> None:
    began = time.perf_counter()
    with pytest.raises(Problem, match="objects and lists"):
        require_few_values(MANY + rest)
    assert time.perf_counter() - began < 60  # of hours, where a text that does not end is looked at from each quote


def test_fields_are_counted_as_well() -> None:
    many = b",".join(b'"%d":1' % number for number in range(MOST_VALUES))
    require_few_values(b"{" + many + b"}")
    with pytest.raises(Problem, match="or fields"):
        require_few_values(b"{" + many + b',"a" : 1}')


@pytest.mark.parametrize("text", ["[" * 9, ":" * 9, '"', "\\", '\\"[', '"["[', '["]"'])
def test_what_stands_in_texts_is_no_value(text: str) -> None:
    rng = random.Random(text)
    values: list[Any] = [[], {}]
    for _ in range(50):
        values.append(rng.choice([text, [text], {text: values[-1]}]))
    body = json.dumps([values, *([text] * MOST_VALUES)]).encode()
    require_few_values(body)
    with pytest.raises(Problem):
        require_few_values(body + b", {}" * MOST_VALUES)
