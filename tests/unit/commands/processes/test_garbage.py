"""The garbage of a process that is ours rests, and that of an application which has its own ideas is left alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from asyncflow.commands.processes.garbage import MOST_YOUNG, let_garbage_rest


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_it_looks_at_new_objects_alone_and_at_many_at_once() -> None:
    gc.set_threshold(700, 10, 10)
    kept = [[number] for number in range(1000)]  # as what an application has made by then
    let_garbage_rest()
    assert gc.get_threshold() == (MOST_YOUNG, 10, 10)
    assert gc.get_freeze_count() > len(kept)
    assert len(gc.get_objects()) < MOST_YOUNG


def test_thresholds_of_the_applications_own_stay() -> None:
    gc.set_threshold(1000, 5, 5)
    frozen = gc.get_freeze_count()
    let_garbage_rest()
    assert gc.get_threshold() == (1000, 5, 5)
    assert gc.get_freeze_count() <= frozen  # some of these may have been let go of meanwhile
