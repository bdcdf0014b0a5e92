"""What is asked of etcd in a transaction, and what it answers, in the words of its gateway."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

EtcdQuestion = dict[str, Any]


def putting(key: str, text: str, lease: int | None = None) -> EtcdQuestion:
    """Write a key; one of a lease ends with it."""
    its_lease = {} if lease is None else {"lease": lease}
    return {"request_put": {"key": _as_sent(key), "value": _as_sent(text), **its_lease}}


def reading_below(prefix: str) -> EtcdQuestion:
    """Read all keys that begin so; ``prefix`` ends with '/'."""
    return {"request_range": {"key": _as_sent(prefix), "range_end": _as_sent(prefix[:-1] + chr(ord("/") + 1))}}


def deleting(key: str) -> EtcdQuestion:
    """Delete a key, if it is there."""
    return {"request_delete_range": {"key": _as_sent(key)}}


def asked(client: Any, questions: list[EtcdQuestion]) -> list[dict[str, str]]:
    """Ask all in one transaction; return what each that reads was answered, texts by their keys."""
    answer = client.transaction({"compare": [], "success": questions, "failure": []})
    ranges = [one["response_range"] for one in answer.get("responses", ()) if "response_range" in one]
    return [{_as_read(pair["key"]): _as_read(pair.get("value", "")) for pair in one.get("kvs", ())} for one in ranges]


def _as_sent(text: str) -> str:
    return b64encode(text.encode()).decode()


def _as_read(text: str) -> str:
    return b64decode(text).decode(errors="replace")
