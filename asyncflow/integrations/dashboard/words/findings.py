"""The Chinese of what a finding concerns."""

from __future__ import annotations

from collections.abc import Mapping

CHINESE_FINDINGS: Mapping[str, str] = {
    "task type": "任务类型",
    "task types": "任务类型",
    "tasks": "任务",
    "destination": "目的地",
    "topic": "主题",
    "instance": "实例",
    "instances": "实例",
    "shards": "分片",
    "key": "键",
    "status": "状态",
    "table": "表",
}
