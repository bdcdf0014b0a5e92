"""The heads of one task type by a descent for each shard, whatever else the optimizer would think of.

MariaDB and MySQL skip from lane to lane where they expect a few rows in each. Where most lanes of a table hold one,
they read all rows of one that holds very many instead, and no hint keeps them from it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Integer, Select, String, Table, bindparam, literal_column, select, union_all

from asyncflow.outbox.clock import moment_of, seconds_until

MOST_SHARDS = 128  # for more, most of them empty, so many descents cost more than they save


def heads_by_shard(tasks: Table, status: int, shards: int) -> Select[Any]:
    """Return (task_type, shard, seconds until order_time, its moment) of the lanes of its_type in the first shards."""
    t, its_type = tasks.c, bindparam("its_type", type_=String())
    each_number = (literal_column(str(number), Integer()).label("number") for number in range(shards))
    each = union_all(*map(select, each_number)).subquery("numbers").c.number
    row = (
        select(t.order_time)
        .where(t.status == status, t.task_type == its_type, t.shard == each)
        # By the shard as well, for MySQL: to it a number of another row is none, and it sorts all rows of the lane.
        .order_by(t.shard, t.order_time)
        .limit(1)
        .scalar_subquery()
        .correlate(each.table)
    )
    lanes = select(each, row.label("order_time")).subquery("lanes")
    head = lanes.c.order_time
    return select(its_type, lanes.c.number, seconds_until(head), moment_of(head)).where(head.is_not(None))
