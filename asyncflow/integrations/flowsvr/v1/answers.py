"""What the original routes answer, for the document; nothing is checked against it at work."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class OriginalAnswer(BaseModel):
    """Tell that it was done."""

    code: Literal[0]
    msg: str


class OriginalCreated(OriginalAnswer):
    """Tell the id of a task."""

    task_id: str


class OriginalTask(BaseModel):
    """Tell of a task in the original's names; the ``task_id`` of one that is held carries its claim."""

    task_id: str
    user_id: str
    task_type: str
    task_stage: str
    context: str
    task_context: str = Field(description="the same as context")
    status: int = Field(ge=1, le=5)
    priority: int
    crt_retry_num: int
    max_retry_num: int
    max_retry_interval: int
    schedule_log: str
    order_time: int = Field(description="in seconds of 1970")
    create_time: str
    modify_time: str


class OriginalTaskFound(OriginalAnswer):
    """Hold one task."""

    task_data: OriginalTask


class OriginalTasks(OriginalAnswer):
    """Hold tasks."""

    task_list: list[OriginalTask]


class OriginalSettings(BaseModel):
    """Tell the options in force of a task type."""

    task_type: str
    schedule_limit: int
    schedule_interval: int
    max_processing_time: int
    max_retry_num: int
    retry_interval: int
    max_retry_interval: int
    create_time: None
    modify_time: None


class OriginalSettingsList(OriginalAnswer):
    """Hold the options in force of each task type."""

    task_schedule_cfg_list: list[OriginalSettings]
    schedule_cfg_list: list[OriginalSettings] = Field(description="the same as task_schedule_cfg_list")


class OriginalCounts(OriginalAnswer):
    """Tell how many tasks of a type there are."""

    count: int
    counts: int = Field(description="the same as count")
    counts_by_status: dict[str, int]
