"""The answer to a hold: its tasks, or of one that cannot be read at least the claims that are to be given back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from asyncflow.errors import UnreadableAnswerError
from asyncflow.integrations.flowsvr.client.answers import Held, HeldTask
from asyncflow.text import shown

Pair = tuple[UUID, UUID]  # of id and token
_NAMED = re.compile(rb'"(id|token)"\s*:\s*"([0-9a-fA-F-]{32,36})"')


def read_hold(answer: Any) -> Held:
    """Read an answer; raises UnreadableAnswerError with the claims in what it cannot read, and with the rest."""
    tasks: list[HeldTask] = []
    unread: list[Any] = []
    fault: Exception | None = None
    try:
        for one in answer["tasks"]:
            try:
                tasks.append(HeldTask.of(one))
            except Exception as error:  # noqa: BLE001 - whatever another program may have written
                fault = error
                unread.append(one)
        held = Held(tasks, float(answer["lease_seconds"]), answer.get("unknown") or [])
    except Exception as error:
        raise _unreadable(answer, error, None) from error
    if fault is not None:
        raise _unreadable(unread, fault, held) from fault
    return held


def claims_in_text(content: bytes) -> list[Pair]:
    """Return the claims in what is no JSON to us: by a reader that takes more, or by the names of fields."""
    try:
        return claims_in(json.loads(content.decode("utf-8", "replace"), strict=False))
    except (ValueError, RecursionError):
        return _named_in(content)


def claims_in(answer: Any) -> list[Pair]:
    """Return id and token of each object that has both, however deep it lies, but of none within another."""
    found: dict[Pair, None] = {}
    left = [answer]
    while left:
        one = left.pop()
        if isinstance(one, Mapping):
            pair = _pair_of(one.get("id"), one.get("token"))
            if pair is None:
                left += one.values()
            else:
                found[pair] = None
        elif isinstance(one, list):
            left += one
    return list(found)


def _named_in(content: bytes) -> list[Pair]:
    """Return each token with the first id before it; what they do not belong to, the service leaves alone."""
    found: dict[Pair, None] = {}
    its_id: str | None = None
    for name, value in _NAMED.findall(content):
        if name == b"id":
            its_id = its_id or value.decode()
            continue
        pair = _pair_of(its_id, value.decode())
        if pair is not None:
            found[pair] = None
        its_id = None
    return list(found)


def _pair_of(its_id: Any, token: Any) -> Pair | None:
    if not isinstance(its_id, str) or not isinstance(token, str):
        return None
    try:
        return UUID(its_id), UUID(token)
    except ValueError:
        return None


def _unreadable(part: Any, error: Exception, held: Held | None) -> UnreadableAnswerError:
    what = f"{type(error).__name__}: {error}"
    return UnreadableAnswerError(
        f"the task service gave what is no held task of its contract ({what}): {shown(part)}; "
        f"is it of another version than this client?",
        claims=claims_in(part),
        held=held,
    )
