"""Large tables, filled by the database itself: a seed is written once and copied again and again."""

from __future__ import annotations

import shutil

from benchmarks.ground import TASK_TYPE, Ground, NotReadyError

_SEED = 20_000
_BYTES_A_ROW = 1500  # with both indexes and the log, from above


def multiply(ground: Ground, rows: int, *, status: int = 0, task_type: str = TASK_TYPE) -> int:
    """Add about ``rows`` rows to a MariaDB ground; return how many.

    The ids begin with a number that rises from copy to copy, as the time in a UUIDv7 does. Raises NotReadyError if
    the disk is too small.
    """
    require_room(rows)
    size = min(_SEED, rows)
    ground.add(size)
    newest = f"SELECT * FROM {ground.table} ORDER BY id DESC LIMIT {size}"
    ground.run("DROP TABLE IF EXISTS seed", f"CREATE TABLE seed AS {newest}")
    ground.run(f"DELETE FROM {ground.table} WHERE id IN (SELECT id FROM seed)")
    copies = -(-rows // size)
    first = ground.next_copy
    ground.next_copy += copies
    for number in range(first, first + copies):
        ground.run(_copy(ground, number, status, task_type))
    ground.run("DROP TABLE seed")
    ground.refresh_statistics()
    return copies * size


def _copy(ground: Ground, number: int, status: int, task_type: str) -> str:
    columns = {column.name: column.name for column in ground.outbox.tasks.columns}
    columns |= {
        "id": f"CONCAT(UNHEX(LPAD(HEX({number}), 12, '0')), SUBSTR(id, 7))",
        "task_type": f"'{task_type}'",
        "status": str(status),
        "order_time": f"order_time + INTERVAL {number} MICROSECOND",
    }
    return f"INSERT INTO {ground.table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM seed"


def require_room(rows: int) -> None:
    """Raise NotReadyError if the disk is too small for so many rows."""
    free = shutil.disk_usage(".").free
    needed = rows * _BYTES_A_ROW
    if needed > free // 2:
        raise NotReadyError(
            f"{rows} rows need about {needed >> 20} MiB and {free >> 20} MiB are free; give fewer --rows"
        )
