"""What the planner believes of a table, told to it: plans are those of a table of millions without the millions."""

from __future__ import annotations

from sqlalchemy import Engine, Table, text


def believe(engine: Engine, tasks: Table, rows: int) -> None:
    """Let the planner believe that there are so many rows, in as many lanes as there are now.

    What a range of an index holds MariaDB goes on asking the index itself, where there are few ranges. Nothing is
    counted anew before a tenth of so many rows has changed.
    """
    statements = {"mysql": _MARIADB, "postgresql": _POSTGRESQL}[engine.dialect.name]
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), {"name": tasks.name, "rows": rows})
    if engine.dialect.name == "mysql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"FLUSH TABLE {tasks.fullname}"))


_GROWN = "(SELECT :rows / n_rows FROM mysql.innodb_table_stats WHERE database_name = DATABASE() AND table_name = :name)"
_ITS = "database_name = DATABASE() AND table_name = :name"
# An index of status, task type and shard has no more of them than before; by time, by id and in pages it has grown.
_MARIADB = (
    f"UPDATE mysql.innodb_index_stats SET stat_value = stat_value * {_GROWN} WHERE {_ITS} AND ("
    f"stat_name IN ('size', 'n_leaf_pages') OR index_name = 'PRIMARY' "
    f"OR stat_description LIKE '%time%' OR stat_description LIKE '%\\_at%')",
    f"UPDATE mysql.innodb_table_stats t, (SELECT {_GROWN} AS factor) grown SET clustered_index_size = "
    f"clustered_index_size * factor, sum_of_other_index_sizes = sum_of_other_index_sizes * factor WHERE {_ITS}",
    f"UPDATE mysql.innodb_table_stats SET n_rows = :rows WHERE {_ITS}",
)
# A density, of rows in the pages that there are.
_POSTGRESQL = (
    "UPDATE pg_class SET reltuples = :rows, relpages = pg_relation_size(oid) / 8192 WHERE oid = to_regclass(:name)",
    "UPDATE pg_class SET reltuples = :rows WHERE oid IN "
    "(SELECT indexrelid FROM pg_index WHERE indrelid = to_regclass(:name) AND indpred IS NULL)",
)
