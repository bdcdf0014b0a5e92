"""The tree of errors: drawn as it is, each with a text that helps."""

from __future__ import annotations

import inspect
import pickle
import re
from typing import Any

import pytest

from asyncflow import errors
from asyncflow.errors import AsyncflowError, UnknownOptionError

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, AsyncflowError) and kind.__module__ == errors.__name__
]


def drawn_tree() -> dict[str, str]:
    """Return the parent of each error as the module's docstring draws it."""
    parents: dict[str, str] = {}
    branch = ["AsyncflowError"]
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]
        if found := re.match(r"([│ ]*)[├└]── (\w+)", line):
            depth = len(found[1]) // 4 + 1
            branch[depth:] = [found[2]]
            parents[found[2]] = branch[depth - 1]
    return parents


def test_the_drawn_tree_is_the_tree() -> None:
    first_bases = {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES if kind is not AsyncflowError}
    assert drawn_tree() == first_bases


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_says_what_is_wrong(kind: Any) -> None:
    assert kind.__doc__
    assert kind.__doc__ != kind.__mro__[1].__doc__
    assert kind.__name__.endswith("Error")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_comes_back_from_another_process(kind: Any) -> None:
    given = {"status": 409} if kind is errors.ServiceRefusedError else {}
    back = pickle.loads(pickle.dumps(kind("what is wrong", **given)))
    assert (type(back), str(back)) == (kind, "what is wrong")
    assert all(getattr(back, name) == value for name, value in given.items())


def test_the_rooms_raise_from_this_tree_alone() -> None:
    from pathlib import Path

    import asyncflow

    root = Path(asyncflow.__file__).parent
    strays = [
        f"{path.name}: class {name}"
        for room in ("outbox", "scheduler")
        for path in (root / room).rglob("*.py")
        for name in re.findall(r"^class (\w+Error)\b", path.read_text(), re.MULTILINE)
    ]
    assert strays == []


def test_unknown_options_are_told_with_the_known_ones() -> None:
    error = UnknownOptionError.among("message()", ["topik"], ("topic", "destination"))
    assert str(error) == "message() has no option 'topik' (did you mean 'topic'?). Known: destination, topic"


def test_an_unknown_option_without_a_near_one_is_told_plainly() -> None:
    assert str(UnknownOptionError.among("run", ["zzz"], ("topic",))) == "run has no option 'zzz'. Known: topic"
