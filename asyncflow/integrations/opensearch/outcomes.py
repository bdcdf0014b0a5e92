"""Judge what a search server answers, or that it does not: of a bulk as a whole, and of each of its items."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import ModuleType
from typing import Any

import orjson

from asyncflow.integrations.opensearch.actions import Action
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.suspects import Judgement, Suspect
from asyncflow.scheduler.publishing.sessions.texts import one_line

CONFLICT, TOO_MANY, AWAY = HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE
# The index takes nothing for now: a full disk makes it read-only; it is closed; it is missing where none may be made by
# the way, or where the cluster has as many shards as it may have, which the server calls a fault of the request.
OF_INDEX = frozenset(
    {
        "cluster_block_exception",
        "index_closed_exception",
        "index_not_found_exception",
        "unavailable_shards_exception",
        "validation_exception",
    }
)
NO_WRITE_INDEX = "no write index is defined"  # of an alias, such as while it is rolled over by hand


def judge_answer(status: int, content: bytes, actions: Sequence[Action], host: str) -> list[Judgement]:
    """Return what became of each action of a bulk."""
    # It is about what the request holds, so one of its documents may be why; others than the server say 400, too.
    is_bad = status == HTTPStatus.BAD_REQUEST and bool(_error(_json(content))[0])
    if is_bad or status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return [Suspect(_told(host, status, content))] * len(actions)
    if status != HTTPStatus.OK:
        return [Unavailable(_told(host, status, content))] * len(actions)
    items = _items(content)
    if len(items) != len(actions):
        return [Unavailable(f"{host} did not answer as to a bulk")] * len(actions)
    return [_judge_item(item, action) for item, action in zip(items, actions, strict=True)]


def judge_template(status: int, content: bytes, name: str, host: str) -> str | None:
    """Return why an index template was not taken, or None."""
    if status == HTTPStatus.OK:
        return None
    return f"the index template {name!r} is refused: {_told(host, status, content)}"


def judge_error(library: ModuleType, error: Exception, host: str) -> Unavailable:
    """Return what an error of the client means; its text holds no URL."""
    if isinstance(error, (TimeoutError, asyncio.TimeoutError, library.TimeoutException)):
        return Unavailable(f"{host}: no answer in time")
    return Unavailable(one_line(host, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__))


def _judge_item(item: Mapping[str, Any], action: Action) -> Outcome:
    status = item.get("status")
    if status in (HTTPStatus.OK, HTTPStatus.CREATED):
        return SENT
    if status == CONFLICT and action.has_version:
        return SENT  # this one is there, from a time before, or one that is newer
    kind, reason = _error(item)
    told = one_line(f"{action.index_name}: {status} {kind}", reason)
    if status in (TOO_MANY, AWAY) or kind in OF_INDEX or NO_WRITE_INDEX in reason:
        return Unavailable(told, is_of_topic=True)
    if isinstance(status, int) and HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Rejected(told)
    return Retry(told)


def _items(content: bytes) -> list[Mapping[str, Any]]:
    found = _json(content).get("items")
    if not isinstance(found, list):
        return []
    return [item["index"] for item in found if isinstance(item, dict) and isinstance(item.get("index"), dict)]


def _error(item: Mapping[str, Any]) -> tuple[str, str]:
    """Return the kind of an error, and what is told of it; by what caused it, where that is told."""
    error = item.get("error")
    if not isinstance(error, dict):
        return "", str(error or "")
    cause = error.get("caused_by")
    told = (
        f"{error.get('reason', '')} {cause.get('reason', '')}" if isinstance(cause, dict) else error.get("reason", "")
    )
    return str(error.get("type", "")), str(told)


def _told(host: str, status: int, content: bytes) -> str:
    kind, reason = _error(_json(content))
    return one_line(f"{host} answered {status}", f"{kind} {reason}".strip())


def _json(content: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
