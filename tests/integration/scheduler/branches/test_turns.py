"""Several databases wait for their turn at a publisher that they share."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from asyncflow import Scheduler
from asyncflow.scheduler.loops.fair_lock import FairLock
from asyncflow.scheduler.relay.relay import Relay
from tests.integration.scheduler.branches.several import LONG, Several
from tests.unit.scheduler.waiting import eventually


class Waiting:
    """Have one database whose relay is to wait for its turn, while another one has it."""

    def __init__(self, scheduler: Scheduler) -> None:
        machinery = scheduler.branches.by_name["db0"].machinery
        machinery.take_shares()
        self.ownership = machinery.standing.ownership
        self.ownership.await_share()
        (self.relay,) = machinery.staff.relays
        self.turn = turn_of(self.relay)
        assert self.turn.acquire(0.0)

    def step_while(self, meanwhile: Callable[[], None], behind: int = 0) -> None:
        """Step the relay; as soon as it waits, with so many others, do something and let it have its turn."""
        thread = threading.Thread(target=self.relay.step, daemon=True)
        thread.start()
        eventually(lambda: len(self.turn._waiting) > behind, LONG)
        meanwhile()
        self.turn.release()
        thread.join(LONG)
        assert not thread.is_alive()


def turn_of(relay: Relay) -> FairLock:
    turn = relay._delivery.route.turn
    assert turn is not None
    return turn


@pytest.mark.parametrize("ordered", [True, False])
def test_a_round_whose_lease_ran_out_while_it_waited_is_not_sent(
    spread_files: Several, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    monkeypatch.setattr("asyncflow.scheduler.publishing.delivery._MOST_TURN_SECONDS", LONG)
    spread_files.outbox.message("user.moved", ordered=ordered)
    with Session(spread_files.engines["db0"]) as session, session.begin():
        spread_files.outbox.publish(session, "user.moved", {"of": "db0"}, key="k")
    waiting = Waiting(spread_files.scheduler(lease_seconds=600.0))
    waiting.step_while(lambda: waiting.ownership.share.last_until(0.0))
    assert spread_files.sent("db0") == 0
    assert spread_files.settled("db0") == 0


def test_a_database_whose_turn_did_not_come_is_the_next_to_have_one(
    spread_files: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncflow.scheduler.publishing.delivery._MOST_TURN_SECONDS", 0.01)
    spread_files.publish("db0")
    waiting = Waiting(spread_files.scheduler(lease_seconds=600.0))
    waiting.relay.step()  # in vain
    assert spread_files.sent("db0") == 0
    sent_before: list[int] = []

    def take() -> None:
        assert waiting.turn.acquire(LONG)
        sent_before.append(spread_files.sent("db0"))
        waiting.turn.release()

    other = threading.Thread(target=take, daemon=True)
    other.start()
    eventually(lambda: waiting.turn._waiting, LONG)
    monkeypatch.setattr("asyncflow.scheduler.publishing.delivery._MOST_TURN_SECONDS", LONG)
    waiting.step_while(lambda: None, behind=1)
    other.join(LONG)
    assert sent_before == [1]
