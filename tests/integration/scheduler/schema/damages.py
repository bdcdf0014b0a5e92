"""What can have been done to the tables, in the words of each database."""

from __future__ import annotations

from typing import NamedTuple

from asyncflow.scheduler.schema.difference import DifferenceKind

HEAD = "ix_asyncflow_task_head"
WRONG_ORDER = "(task_type, status, shard, order_time, id)"


REQUIRED = (
    "ALTER TABLE asyncflow_task DROP COLUMN IF EXISTS tenant",
    "ALTER TABLE asyncflow_task ADD COLUMN tenant INT NOT NULL",
)


class Damage(NamedTuple):
    """Hold what does the damage, and what a check is to find."""

    what: str
    kinds: list[DifferenceKind]
    statements: list[str]


def _of(what: str, kinds: DifferenceKind | list[DifferenceKind], *statements: str) -> Damage:
    return Damage(what, kinds if isinstance(kinds, list) else [kinds], list(statements))


def _text(length: int, more: str = "") -> str:
    return f"VARCHAR({length}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin {more}"


def _modified(column: str, table: str = "asyncflow_task") -> str:
    return f"ALTER TABLE {table} MODIFY {column}"


def _altered(change: str, table: str = "asyncflow_task") -> str:
    return f"ALTER TABLE {table} ALTER COLUMN {change}"


_EVERYWHERE = [
    _of("a missing column", DifferenceKind.COLUMN_MISSING, "ALTER TABLE asyncflow_task DROP COLUMN stage"),
    _of(
        "a missing column that is never empty",
        DifferenceKind.COLUMN_MISSING,
        "ALTER TABLE asyncflow_task DROP COLUMN priority",
    ),
    _of("a missing table", DifferenceKind.TABLE_MISSING, "DROP TABLE asyncflow_audit"),
    _of("a missing table that counts", DifferenceKind.TABLE_MISSING, "DROP TABLE asyncflow_turn"),
]
_INDEXES = [
    _of("a missing index", DifferenceKind.INDEX_MISSING, "DROP INDEX ix_asyncflow_task_key{on}"),
    _of(
        "an index in the wrong order",
        DifferenceKind.INDEX_DIFFERS,
        f"DROP INDEX {HEAD}{{on}}",
        f"CREATE INDEX {HEAD} ON asyncflow_task {WRONG_ORDER}",
    ),
    _of(
        "an index that is unique",
        DifferenceKind.INDEX_DIFFERS,
        "DROP INDEX ix_asyncflow_task_key{on}",
        "CREATE UNIQUE INDEX ix_asyncflow_task_key ON asyncflow_task (task_key, created_at)",
    ),
    _of(
        "a unique index", DifferenceKind.UNIQUE, "CREATE UNIQUE INDEX one_each ON asyncflow_task (task_type, task_key)"
    ),
    _of(
        "a unique index that descends",
        DifferenceKind.UNIQUE,
        "CREATE UNIQUE INDEX one_each ON asyncflow_task (task_key DESC)",
    ),
]
_OF_AN_EXPRESSION = _of(
    "a unique index on an expression",
    DifferenceKind.UNIQUE,
    "CREATE UNIQUE INDEX one_each ON asyncflow_task ((lower(task_key)))",
)


def _indexes(on: str) -> list[Damage]:
    return [one._replace(statements=[text.format(on=on) for text in one.statements]) for one in _INDEXES]


MARIADB = [
    *_EVERYWHERE,
    *_indexes(" ON asyncflow_task"),
    _of(
        "an index on a part of a text",
        DifferenceKind.INDEX_DIFFERS,
        "DROP INDEX ix_asyncflow_task_key ON asyncflow_task",
        "CREATE INDEX ix_asyncflow_task_key ON asyncflow_task (task_key(10), created_at)",
    ),
    _of(
        "an index that is ignored",
        DifferenceKind.INDEX_DIFFERS,
        f"ALTER TABLE asyncflow_task ALTER INDEX {HEAD} IGNORED",
    ),
    _of("a narrow text", DifferenceKind.TYPE, _modified(f"owner {_text(60)}")),
    _of("a narrow text that is no VARCHAR", DifferenceKind.TYPE, _modified("payload BLOB")),
    _of("a narrow number", DifferenceKind.TYPE, _modified("priority SMALLINT NOT NULL")),
    _of("a time without its fraction", DifferenceKind.TYPE, _modified("order_time DATETIME NOT NULL")),
    _of("an id as text", DifferenceKind.TYPE, _modified(f"claim_token {_text(36)}")),
    _of("latin1", DifferenceKind.COLLATION, _modified("task_type VARCHAR(100) CHARACTER SET latin1 NOT NULL")),
    _of(
        "latin1 in a key",
        DifferenceKind.COLLATION,
        _modified("name VARCHAR(100) CHARACTER SET latin1 NOT NULL", "asyncflow_job"),
    ),
    _of(
        "a collation without cases",
        DifferenceKind.COLLATION,
        _modified("task_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
    ),
    _of("a lost NOT NULL", DifferenceKind.LOST_NOT_NULL, _modified("max_retries INTEGER NULL")),
    _of("a gained NOT NULL", DifferenceKind.GAINED_NOT_NULL, _modified(f"stage {_text(100, 'NOT NULL')}")),
    _of("a default where NULL is meant", DifferenceKind.DEFAULT, _modified(f"stage {_text(100)} DEFAULT 'x'")),
    _of(
        "a number that counts no more", DifferenceKind.COUNTS_NOT, _modified("number BIGINT NOT NULL", "asyncflow_turn")
    ),
    _of(
        "a column that rows leave out",
        DifferenceKind.REQUIRED,
        *REQUIRED,
    ),
    _of(
        "a unique index on the beginning of a text",
        DifferenceKind.UNIQUE,
        "CREATE UNIQUE INDEX one_each ON asyncflow_task (task_key(10))",
    ),
    _of(
        "a time that every update sets",
        DifferenceKind.WRITES_ITSELF,
        _modified("order_time DATETIME(6) NOT NULL ON UPDATE CURRENT_TIMESTAMP(6)"),
    ),
    _of(
        "a column that is kept and computed",
        DifferenceKind.WRITES_ITSELF,
        "ALTER TABLE asyncflow_task DROP COLUMN stage",
        f"ALTER TABLE asyncflow_task ADD COLUMN stage {_text(100)} AS (task_type) STORED",
    ),
    _of(
        "a column that is computed as it is read",
        DifferenceKind.WRITES_ITSELF,
        "ALTER TABLE asyncflow_task DROP COLUMN stage",
        f"ALTER TABLE asyncflow_task ADD COLUMN stage {_text(100)} AS (task_type) VIRTUAL",
    ),
    _of("MyISAM", DifferenceKind.ENGINE, "ALTER TABLE asyncflow_chart ENGINE=MyISAM"),
    _of("Aria", DifferenceKind.ENGINE, "ALTER TABLE asyncflow_parked_key ENGINE=Aria"),
    _of(
        "another primary key",
        DifferenceKind.PRIMARY_KEY,
        "ALTER TABLE asyncflow_shard DROP PRIMARY KEY, ADD PRIMARY KEY (shard, job)",
    ),
    _of("no primary key", DifferenceKind.PRIMARY_KEY, "ALTER TABLE asyncflow_dedupe DROP PRIMARY KEY"),
]

POSTGRESQL = [
    *_EVERYWHERE,
    *_indexes(""),
    _of(
        "an index of a part of the rows",
        DifferenceKind.INDEX_DIFFERS,
        f"DROP INDEX {HEAD}",
        f"CREATE INDEX {HEAD} ON asyncflow_task (status, task_type, shard, order_time, id) WHERE status = 0",
    ),
    _of(
        "an index that was not made to the end",
        DifferenceKind.INDEX_DIFFERS,
        f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = CAST('{HEAD}' AS regclass)",
    ),
    _of(
        "a descending index",
        DifferenceKind.INDEX_DIFFERS,
        "DROP INDEX ix_asyncflow_task_key",
        "CREATE INDEX ix_asyncflow_task_key ON asyncflow_task (task_key, created_at DESC)",
    ),
    _OF_AN_EXPRESSION,
    _of(
        "an index in another order of texts",
        DifferenceKind.INDEX_DIFFERS,
        "DROP INDEX ix_asyncflow_task_key",
        "CREATE INDEX ix_asyncflow_task_key ON asyncflow_task (task_key text_pattern_ops, created_at)",
    ),
    _of(
        "an index by another collation",
        DifferenceKind.INDEX_DIFFERS,
        "DROP INDEX ix_asyncflow_task_key",
        'CREATE INDEX ix_asyncflow_task_key ON asyncflow_task (task_key COLLATE "C", created_at)',
    ),
    _of(
        "a column that is computed",
        DifferenceKind.WRITES_ITSELF,
        "ALTER TABLE asyncflow_task DROP COLUMN stage",
        "ALTER TABLE asyncflow_task ADD COLUMN stage VARCHAR(100) GENERATED ALWAYS AS (task_type) STORED",
    ),
    _of(
        "a domain",
        DifferenceKind.TYPE,
        "DROP DOMAIN IF EXISTS short_text",
        "CREATE DOMAIN short_text AS VARCHAR(100)",
        _altered("stage TYPE short_text"),
    ),
    _of(
        "a unique constraint",
        DifferenceKind.UNIQUE,
        "ALTER TABLE asyncflow_task ADD CONSTRAINT one_each UNIQUE (task_key)",
    ),
    _of("a narrow text", DifferenceKind.TYPE, _altered("owner TYPE VARCHAR(60)")),
    _of("a narrow number", DifferenceKind.TYPE, _altered("total TYPE INTEGER", "asyncflow_chart")),
    _of("a time without its zone", DifferenceKind.TYPE, _altered("order_time TYPE TIMESTAMP")),
    _of("a time without its fraction", DifferenceKind.TYPE, _altered("order_time TYPE TIMESTAMPTZ(0)")),
    _of("an id as text", DifferenceKind.TYPE, _altered("claim_token TYPE VARCHAR(36)")),
    _of("another collation", DifferenceKind.COLLATION, _altered('task_type TYPE VARCHAR(100) COLLATE "C"')),
    _of("a lost NOT NULL", DifferenceKind.LOST_NOT_NULL, _altered("max_retries DROP NOT NULL")),
    _of("a gained NOT NULL", DifferenceKind.GAINED_NOT_NULL, _altered("stage SET NOT NULL")),
    _of("a default where NULL is meant", DifferenceKind.DEFAULT, _altered("stage SET DEFAULT 'x'")),
    _of("a number that counts no more", DifferenceKind.COUNTS_NOT, _altered("number DROP DEFAULT", "asyncflow_turn")),
    _of("a table without a log", DifferenceKind.ENGINE, "ALTER TABLE asyncflow_job SET UNLOGGED"),
    _of(
        "a number whose counter is gone",
        DifferenceKind.COUNTS_NOT,
        _altered("number DROP IDENTITY IF EXISTS", "asyncflow_turn"),
        _altered("number DROP DEFAULT", "asyncflow_turn"),
        "DROP SEQUENCE IF EXISTS asyncflow_turn_number_seq",
    ),
    _of(
        "a column that rows leave out",
        DifferenceKind.REQUIRED,
        *REQUIRED,
    ),
    _of(
        "another primary key",
        DifferenceKind.PRIMARY_KEY,
        "ALTER TABLE asyncflow_shard DROP CONSTRAINT asyncflow_shard_pkey, ADD PRIMARY KEY (shard, job)",
    ),
    _of(
        "no primary key",
        DifferenceKind.PRIMARY_KEY,
        "ALTER TABLE asyncflow_dedupe DROP CONSTRAINT asyncflow_dedupe_pkey",
    ),
]


def _made_anew(table: str, columns: str) -> list[str]:
    return [f"DROP TABLE {table}", f"CREATE TABLE {table} ({columns})"]


_PARKED = (
    "task_type VARCHAR(100){collate} NOT NULL, task_key VARCHAR({length}) NOT NULL, shard SMALLINT {shard}, "
    "since DATETIME NOT NULL, due DATETIME{due}, blocked_by {id}{more}, PRIMARY KEY ({key})"
)
_SOUND = {
    "collate": "",
    "length": "255",
    "shard": "NOT NULL",
    "due": "",
    "id": "BLOB",
    "more": "",
    "key": "task_type, task_key",
}


def _parked(**otherwise: str) -> list[str]:
    columns = _PARKED.format(**{**_SOUND, **otherwise})
    index = "CREATE INDEX ix_asyncflow_parked_key_shard ON asyncflow_parked_key (shard)"
    return [*_made_anew("asyncflow_parked_key", columns), index]


SQLITE = [
    *_EVERYWHERE,
    *_indexes(""),
    _OF_AN_EXPRESSION,
    _of(
        "an index by another collation",
        DifferenceKind.INDEX_DIFFERS,
        "DROP INDEX ix_asyncflow_task_key",
        "CREATE INDEX ix_asyncflow_task_key ON asyncflow_task (task_key COLLATE NOCASE, created_at)",
    ),
    _of(
        "a column that is computed",
        DifferenceKind.WRITES_ITSELF,
        *_parked(due=" GENERATED ALWAYS AS (since)"),
    ),
    _of("a unique constraint", DifferenceKind.UNIQUE, *_parked(more=", UNIQUE (shard, due)")),
    _of("a narrow text", DifferenceKind.TYPE, *_parked(length="60")),
    _of("an id that is a number to it", DifferenceKind.TYPE, *_parked(id="BINARY(16)")),
    _of("another collation", DifferenceKind.COLLATION, *_parked(collate=" COLLATE NOCASE")),
    _of("a lost NOT NULL", DifferenceKind.LOST_NOT_NULL, *_parked(shard="")),
    _of("a gained NOT NULL", DifferenceKind.GAINED_NOT_NULL, *_parked(due=" NOT NULL")),
    _of("a default where NULL is meant", DifferenceKind.DEFAULT, *_parked(due=" DEFAULT '2000-01-01 00:00:00.000000'")),
    _of("a column that rows leave out", DifferenceKind.REQUIRED, *_parked(more=", tenant INT NOT NULL")),
    _of("another primary key", DifferenceKind.PRIMARY_KEY, *_parked(key="task_key, task_type")),
    _of(
        "a number that counts no more",
        DifferenceKind.COUNTS_NOT,
        *_made_anew("asyncflow_turn", "number INTEGER NOT NULL, PRIMARY KEY (number)"),
    ),
    _of(
        "much at once",
        [
            DifferenceKind.COLLATION,
            DifferenceKind.TYPE,
            DifferenceKind.LOST_NOT_NULL,
            DifferenceKind.REQUIRED,
            DifferenceKind.PRIMARY_KEY,
            DifferenceKind.INDEX_MISSING,
        ],
        *_parked(length="9", collate=" COLLATE NOCASE", shard="", more=", tenant INT NOT NULL", key="task_key")[:2],
    ),
]
# Aria is MariaDB's alone, and so are its words for an index that is not used, and for what need not be there.
MYSQL = [
    damage._replace(
        statements=[one.replace(" IGNORED", " INVISIBLE").replace(" IF EXISTS", "") for one in damage.statements]
    )
    for damage in MARIADB
    if damage.what != "Aria"
] + [_OF_AN_EXPRESSION]
DAMAGES = {"mysql": MYSQL, "mariadb": MARIADB, "postgresql": POSTGRESQL, "sqlite": SQLITE}
