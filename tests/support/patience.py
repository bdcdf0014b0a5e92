"""Patience with connections: a machine that does much else, or stands still for seconds, is not one that is gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from asyncflow.outbox.lines import limits
from asyncflow.outbox.transaction import limited
from asyncflow.scheduler.connections.database import Database

_SECONDS = 45.0
_IN_A_TRANSACTION_SECONDS = 200


def be_patient(set_attribute: Callable[[Any, str, Any], None] = setattr, *, lock_wait_seconds: int = 1) -> None:
    """Let connections be silent for long, and stand for longer in the middle of a transaction, from now on.

    ``set_attribute`` may put everything back later. ``lock_wait_seconds``: longer where many write to the same rows at
    once, so that nobody gives up behind those who were there before.
    """
    session = replace(
        limits.SESSION,
        lock_wait_seconds=lock_wait_seconds,
        idle_transaction_seconds=_IN_A_TRANSACTION_SECONDS,
        user_timeout_seconds=_IN_A_TRANSACTION_SECONDS,
    )
    set_attribute(limits, "_SHORTEST_SECONDS", _SECONDS)
    set_attribute(limits, "_LONGEST_SECONDS", _SECONDS)
    set_attribute(limited, "SESSION", session)
    # What is made without a word about its session has this one.
    silence, _, connect = limits.Limits.__init__.__defaults__ or ()
    set_attribute(limits.Limits.__init__, "__defaults__", (silence, session, connect))
    given = {**(Database.__init__.__kwdefaults__ or {}), "limits": limits.Limits(_SECONDS, connect_seconds=_SECONDS)}
    set_attribute(Database.__init__, "__kwdefaults__", given)
