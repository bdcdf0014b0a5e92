"""A relay's thread that ends in the middle of its work, as nothing that a publisher does lets it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from asyncflow.scheduler import Outcome, Record
from asyncflow.scheduler.publishing.delivery import Delivery


def end_the_thread_that_publishes(
    monkeypatch: pytest.MonkeyPatch, where: Callable[[Record], bool] = lambda _: True
) -> None:
    """End the first thread that is about to publish such a record."""
    publish, ended = Delivery._publish, False

    def end_once(self: Delivery, records: list[Record]) -> Sequence[Outcome]:
        nonlocal ended
        if not ended and any(map(where, records)):
            ended = True
            raise SystemExit
        return publish(self, records)

    monkeypatch.setattr(Delivery, "_publish", end_once)
