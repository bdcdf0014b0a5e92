"""Types are declared on one thread, as a module is imported late, while others go through those that there are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import MetaData

from asyncflow import Outbox
from asyncflow.errors import DuplicateTaskTypeError, UnknownTaskTypeError

TIMES = 1500


@pytest.mark.usefixtures("_restless")
@pytest.mark.parametrize(
    "look",
    [
        lambda types: [name for name in types if not name],
        lambda types: [name for name in types.keys() if not name],  # noqa: SIM118 - it is what is looked at
        lambda types: [kind for kind in types.values() if not kind.name],
        lambda types: {name: kind for name, kind in types.items() if not kind.name},
        lambda types: {**types},
        dict,
    ],
    ids=["names", "keys", "values", "items", "copy", "dict"],
)
def test_whoever_goes_through_types_is_not_disturbed(look: Callable[[Any], object]) -> None:
    outbox, is_over = Outbox(MetaData()), threading.Event()
    raised: list[Exception] = []

    def go_through() -> None:
        while not is_over.is_set():
            try:
                look(outbox.task_types)
            except Exception as error:  # noqa: BLE001 - told below
                raised.append(error)
                return

    looking = [threading.Thread(target=go_through) for _ in range(2)]
    for thread in looking:
        thread.start()
    for number in range(TIMES):
        outbox.message(f"type.{number}")
    is_over.set()
    for thread in looking:
        thread.join()
    assert raised == []


@pytest.mark.usefixtures("_restless")
def test_a_handler_is_found_while_others_are_declared() -> None:
    outbox, is_over, raised = Outbox(MetaData()), threading.Event(), list[Exception]()

    def find() -> None:
        while not is_over.is_set():
            try:
                outbox.handler_types.require(lambda: None)
            except UnknownTaskTypeError:
                continue
            except Exception as error:  # noqa: BLE001 - told below
                raised.append(error)
                return

    looking = threading.Thread(target=find)
    looking.start()
    for number in range(TIMES):
        outbox.task(f"type.{number}")
    is_over.set()
    looking.join()
    assert raised == []


@pytest.mark.usefixtures("_restless")
def test_of_two_threads_that_declare_a_name_one_is_told_that_it_is_there() -> None:
    assert [declared_twice_at_once() for _ in range(50)] == [1] * 50


def declared_twice_at_once() -> int:
    outbox, both, refused = Outbox(MetaData()), threading.Barrier(2), list[str]()

    def declare() -> None:
        both.wait()
        try:
            outbox.message("user.registered")
        except DuplicateTaskTypeError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=declare) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(refused)
