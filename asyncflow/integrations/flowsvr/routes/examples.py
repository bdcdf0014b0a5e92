"""An example of each body and of each answer, by the name of the operation."""

from __future__ import annotations

from typing import Any, NamedTuple

_TASK = "0198f3a2-5c1e-7d44-9b1f-3a5c7e9b1d20"
_TOKEN = "5b0d3a54-8f6c-4c1d-9c53-0f4c1f6b7a11"
_TYPE = "issue_coupon"
_MOMENT = "2026-01-31T12:30:00.000000+00:00"
_ARGUMENTS = {"account_no": "A1001"}
_CLAIM = {"id": _TASK, "token": _TOKEN}
_STATE: dict[str, Any] = {
    "id": _TASK,
    "task_type": _TYPE,
    "key": "A1001",
    "status": "PENDING",
    "stage": None,
    "priority": 0,
    "attempt": 0,
    "retry_count": 0,
    "max_retries": 5,
    "owner": None,
    "order_time": _MOMENT,
    "next_select_time": _MOMENT,
    "created_at": _MOMENT,
    "modified_at": _MOMENT,
    "log": [],
    "headers": {},
    "follow_up": None,
}
_FAILED: dict[str, Any] = {
    **_STATE,
    "status": "FAILED",
    "attempt": 6,
    "retry_count": 6,
    "log": ["attempt 6 of 6: ValueError: A1001 has no address"],
}
_OPTIONS = {
    "limit": None,
    "interval_seconds": None,
    "max_processing_time_seconds": 60.0,
    "max_retries": 5,
    "retry_interval_seconds": 1.0,
    "max_retry_interval_seconds": 10.0,
    "enabled": True,
    "concurrency": 8,
}
_SET = {"task_type": _TYPE, **dict.fromkeys(_OPTIONS), "max_retries": 5}
_GIVEN = {
    **{name: _STATE[name] for name in ("id", "task_type", "key", "max_retries", "stage", "headers")},
    "arguments": _ARGUMENTS,
    "attempt": 1,
    "context": None,
    "token": _TOKEN,
}
_ORIGINAL = {
    "task_id": _TASK,
    "user_id": "A1001",
    "task_type": _TYPE,
    "task_stage": "",
    "context": '{"account_no":"A1001"}',
    "task_context": '{"account_no":"A1001"}',
    "status": 1,
    "priority": 0,
    "crt_retry_num": 0,
    "max_retry_num": 5,
    "max_retry_interval": 1,
    "schedule_log": "",
    "order_time": 1769862600,
    "create_time": "2026-01-31T12:30:00.000000Z",
    "modify_time": "2026-01-31T12:30:00.000000Z",
}
_ORIGINAL_SETTINGS = {
    "task_type": _TYPE,
    "schedule_limit": 8,
    "schedule_interval": 0,
    "max_processing_time": 60,
    "max_retry_num": 5,
    "retry_interval": 1,
    "max_retry_interval": 10,
    "create_time": None,
    "modify_time": None,
}
_COUNTS = {"PENDING": 3, "PROCESSING": 1, "SUCCESS": 240, "FAILED": 2, "CANCELLED": 0}
_DONE = {"code": 0, "msg": ""}
_HELD = {**_ORIGINAL, "task_id": f"{_TASK}_{_TOKEN}", "status": 2}


class OperationExample(NamedTuple):
    """Show what an operation answers, and the body that it takes, if it takes one."""

    answer: Any
    body: Any = None


_CHANGED = {"count": 2, "left": {}}
EXAMPLES = {
    "create_task": OperationExample(
        {"id": _TASK, "created": True},
        {"task_type": _TYPE, "arguments": _ARGUMENTS, "key": "A1001", "idempotency_key": "registered-A1001"},
    ),
    "create_tasks": OperationExample(
        {"ids": [_TASK]}, {"task_type": _TYPE, "tasks": [{"arguments": _ARGUMENTS, "delay_seconds": 60}]}
    ),
    "get_task": OperationExample({**_STATE, "context": None, "arguments": _ARGUMENTS}),
    "list_tasks": OperationExample({"tasks": [_STATE], "next": None}),
    "count_tasks": OperationExample({"counts": {_TYPE: _COUNTS}, "counted_up_to": 10_000}),
    "hold_tasks": OperationExample(
        {"tasks": [_GIVEN], "lease_seconds": 30.0, "unknown": []},
        {"worker": "worker-1", "limits": {_TYPE: 10}, "wait_seconds": 5},
    ),
    "renew_claims": OperationExample({"lost": []}, {"claims": [_CLAIM], "lease_seconds": 30}),
    "set_tasks": OperationExample(
        {"results": [{"id": _TASK, "settled": True, "status": "SUCCESS"}]},
        {"outcomes": [{**_CLAIM, "outcome": "success"}]},
    ),
    "set_task": OperationExample(
        {"id": _TASK, "settled": True, "status": "PENDING"},
        {"token": _TOKEN, "outcome": "retry", "delay_seconds": 10, "error": "the mail server did not answer"},
    ),
    "write_checkpoint": OperationExample(
        {"id": _TASK, "stage": "rendered"}, {"token": _TOKEN, "stage": "rendered", "context": {"page": 3}}
    ),
    "register_type": OperationExample({"task_type": _TYPE, "created": True, "configuration": _SET}, {"max_retries": 5}),
    "list_types": OperationExample({"task_types": [{"task_type": _TYPE, "is_declared": False, **_OPTIONS}]}),
    "list_configuration": OperationExample({"configuration": [_SET]}),
    "get_configuration": OperationExample(_SET),
    "change_configuration": OperationExample(_SET, {"max_retries": 5, "concurrency": None}),
    "remove_configuration": OperationExample({"task_type": _TYPE, "removed": True}),
    "list_dead_letters": OperationExample(
        {
            "dead_letters": [
                {name: _FAILED[name] for name in ("id", "task_type", "key", "retry_count", "log")}
                | {"failed_at": _MOMENT}
            ],
            "next": None,
        }
    ),
    "get_dead_letter": OperationExample({**_FAILED, "context": None, "arguments": _ARGUMENTS}),
    "replay": OperationExample(_CHANGED, {"task_type": _TYPE, "reason": "addresses are mended", "per_second": 50}),
    "cancel": OperationExample(_CHANGED, {"ids": [_TASK], "reason": "sent by hand"}),
    "discard": OperationExample(_CHANGED, {"key": "A1001", "limit": 100, "reason": "the account is gone"}),
    "v1_register_task": OperationExample(_DONE, {"task_type": _TYPE}),
    "v1_create_task": OperationExample(
        {**_DONE, "task_id": _TASK},
        {"task_data": {"task_type": _TYPE, "user_id": "A1001", "context": '{"account_no":"A1001"}'}},
    ),
    "v1_hold_tasks": OperationExample({**_DONE, "task_list": [_HELD]}, {"task_type": _TYPE, "limit": 10}),
    "v1_set_task": OperationExample(
        _DONE, {"task_data": {"task_id": f"{_TASK}_{_TOKEN}", "status": 3, "crt_retry_num": 0}}
    ),
    "v1_get_task": OperationExample({**_DONE, "task_data": _ORIGINAL}),
    "v1_get_task_list": OperationExample({**_DONE, "task_list": [_ORIGINAL]}),
    "v1_get_task_schedule_cfg_list": OperationExample(
        {**_DONE, "task_schedule_cfg_list": [_ORIGINAL_SETTINGS], "schedule_cfg_list": [_ORIGINAL_SETTINGS]}
    ),
    "v1_get_task_counts_by_type": OperationExample(
        {**_DONE, "count": 246, "counts": 246, "counts_by_status": {"1": 3, "2": 1, "3": 240, "4": 2, "5": 0}}
    ),
    "v1_ping": OperationExample({"code": 0, "msg": "pong"}),
    "is_up": OperationExample({"status": "up"}),
    "is_ready": OperationExample({"status": "ready"}),
}
