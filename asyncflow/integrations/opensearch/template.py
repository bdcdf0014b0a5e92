"""The index template of outcomes: what each field of such a message is to a search."""

from __future__ import annotations

from typing import Any

from asyncflow.errors import OptionError
from asyncflow.text import shown

_KEYWORD = {"type": "keyword", "ignore_above": 1024}
OUTCOME_FIELDS: dict[str, Any] = {
    "task_id": {"type": "keyword"},
    "task_type": {"type": "keyword"},
    "key": _KEYWORD,
    "outcome": {"type": "keyword"},
    "attempts": {"type": "integer"},
    "enqueued_at": {"type": "date"},
    "settled_at": {"type": "date"},
    "error_group": {"type": "keyword"},
    "error": {"type": "text", "fields": {"whole": _KEYWORD}},
    # Kept and not searched: of one type it is a number, of another an object.
    "result": {"type": "object", "enabled": False},
    "result_is_left_out": {"type": "boolean"},
}


def outcome_template(*patterns: str, **settings: Any) -> dict[str, Any]:
    """Return the template of indexes of outcomes, by ``patterns`` of their names; ``settings`` are the index's.

    A document that was acknowledged is on disk, and fields that a later version adds are kept without being searched.
    Raises OptionError.
    """
    if not patterns or not all(isinstance(one, str) and one for one in patterns):
        raise OptionError(f"patterns is {shown(patterns)}; give names of indexes, such as 'outcomes' or 'outcomes-*'")
    return {
        "index_patterns": list(patterns),
        "template": {
            "settings": {"index.translog.durability": "request", **settings},
            "mappings": {"dynamic": False, "properties": OUTCOME_FIELDS},
        },
    }
