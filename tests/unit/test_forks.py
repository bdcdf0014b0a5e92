"""What lives as long as its module, or as long as the user likes, has locks of its own in each child of a fork."""

from __future__ import annotations

import copy
import gc
import pickle
import pkgutil
import threading
from collections.abc import Iterable, Iterator, MutableMapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine

import asyncflow
from asyncflow import Outbox, Scheduler
from asyncflow.errors import MissingExtraError
from asyncflow.integrations.dashboard.door.throttle import Throttle
from asyncflow.integrations.dashboard.door.users_file import UsersFile
from asyncflow.integrations.dashboard.glances import Glances
from asyncflow.integrations.prometheus.queue_times import QueueTimes
from asyncflow.repeats import Repeats
from asyncflow.scheduler.connections import stepping_over
from asyncflow.scheduler.diagnosis.kept_look import KeptLook
from asyncflow.testing import Signals
from tests.support.forking import Child
from tests.unit.integrations.dashboard.door.test_passwords import user

_LOCKS = (type(threading.Lock()), type(threading.RLock()))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_what_lives_in_one_process_says_how_another_one_gets_its_own(copied: Any, tmp_path: Path) -> None:
    outbox = Outbox(MetaData())
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    for one in (outbox, Scheduler(engine, outbox, publishers={})):
        with pytest.raises(TypeError, match=rf"^{type(one).__name__} cannot be pickled .* at the top of a module, and"):
            copied(one)


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(asyncflow.__path__, "asyncflow."):
        try:
            yield import_module(found.name)
        except (ImportError, MissingExtraError):
            continue  # of a client that is not installed


def is_a(one: Any, kinds: Any) -> bool:
    """Do what isinstance does, and ask nothing of the object: a lazy one of a framework would be made by that."""
    return issubclass(type(one), kinds)


def ours(things: Iterable[Any]) -> list[Any]:
    return [one for one in things if type(one).__module__.startswith("asyncflow") and not is_a(one, type)]


def lasting() -> list[Any]:
    """Return the objects that modules and classes hold, themselves or in containers."""
    found: list[Any] = []
    for module in modules():
        classes = [one for one in vars(module).values() if is_a(one, type) and one.__module__ == module.__name__]
        for holder in (module, *classes):
            for value in list(vars(holder).values()):
                inside = list(value.values()) if is_a(value, (dict, MutableMapping)) else []
                found += ours([value, *inside])
    return found


def locks_of(owner: Any) -> list[Any]:
    """Return the locks among an object's own attributes."""
    values = list(getattr(owner, "__dict__", {}).values())
    return [getattr(value, "_lock", value) for value in values if isinstance(getattr(value, "_lock", value), _LOCKS)]


def kept_by_applications(engine: Engine, directory: Path) -> list[Any]:
    """Return what an application makes once, and its processes ask: pages and metrics."""
    users = directory / "users.toml"
    users.write_text(user())
    users.chmod(0o600)
    return [
        KeptLook(engine, Outbox(MetaData()), 1.0),
        QueueTimes(["destination"]),
        Throttle(),
        Glances(),
        UsersFile(users),
    ]


def test_a_lock_that_a_thread_of_the_parent_holds_keeps_no_child_waiting(tmp_path: Path) -> None:
    engine = create_engine("sqlite://")
    signals, memory = Signals(), stepping_over._memory_of(engine)
    owners = [*lasting(), signals, Repeats(), *kept_by_applications(engine, tmp_path)]
    assert memory in owners
    # Each once, for several modules may hold its owner.
    held = list({id(lock): lock for owner in owners for lock in locks_of(owner)}.values())
    assert len(held) >= 8
    for lock in held:
        lock.acquire()
    try:
        child = Child(lambda: [repr(owner) for owner in owners if not all(map(is_free, locks_of(owner)))])
    finally:
        for lock in held:
            lock.release()
    assert child.result() == []
    assert memory.left_out("rows", [1]) == set()


def test_a_child_collects_no_garbage_of_its_parent() -> None:
    """A connection among it would wait for a lock of its library that another thread of the parent held at the fork."""
    collected: list[str] = []

    class Circle:
        def __init__(self, name: str) -> None:
            self.name, self.me = name, self

        def __del__(self) -> None:
            collected.append(self.name)

    def collect() -> list[str]:
        Circle("the child's")
        gc.collect()
        return collected

    gc.disable()
    try:
        Circle("the parent's")
        child = Child(collect)
    finally:
        gc.enable()
    assert child.result() == ["the child's"]
    gc.collect()
    assert collected == ["the parent's"]


def is_free(lock: Any) -> bool:
    """Tell whether another thread can take the lock, as it can tell of an RLock as well."""
    taken: list[bool] = []

    def take() -> None:
        taken.append(lock.acquire(blocking=False))
        if taken[0]:
            lock.release()  # several modules may hold its owner

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(60)
    return taken == [True]


def test_no_module_holds_a_lock_by_itself() -> None:
    found = [
        f"{module.__name__}.{name}"
        for module in modules()
        for name, value in vars(module).items()
        if is_a(value, _LOCKS)
    ]
    assert found == []
