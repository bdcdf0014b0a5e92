"""What a job is told about the share it works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ShareContext:
    """Tell a job which items it works on; made anew for each run.

    ``epochs`` are the items with the epoch of each: an item's epoch is raised with each change of its owner, so a
    write that demands it cannot be late. None of the items is handed over while the job works on them.
    """

    job_name: str
    task_id: str  # of this run: job@-@items@-@owner@-@number
    sharding_total_count: int
    job_parameter: str
    epochs: Mapping[int, int] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ShardingContext(ShareContext):
    """Tell a job which one item it works on, as in ElasticJob."""

    sharding_item: int
    sharding_parameter: str  # of this item, verbatim; empty if none was given


Context = ShareContext | ShardingContext
