from __future__ import annotations

import pytest

from asyncflow.scheduler.worker.transactional.statement_kind import StatementKind, kind_of

READS, CALLS, CHANGES = StatementKind.READS, StatementKind.CALLS, StatementKind.CHANGES
NEUTRAL, ENDS = StatementKind.NEUTRAL, StatementKind.ENDS
_EVERYWHERE = [
    ("SELECT * FROM users", READS),
    ("  -- why\n/* a */ (select 1) union (select 2)", READS),
    ("SELECT count(*) FROM users FOR UPDATE", READS),
    ("WITH x AS (SELECT 1) SELECT * FROM x FOR NO KEY UPDATE", READS),
    ("WITH x AS (DELETE FROM users RETURNING id) SELECT * FROM x", CHANGES),
    ("EXPLAIN SELECT 1", READS),
    ("EXPLAIN ANALYZE UPDATE users SET name = ''", CHANGES),
    ("SELECT issue_coupon('A1')", CALLS),
    ("select bank.move(1, 2)", CALLS),
    ("INSERT INTO users VALUES (1)", CHANGES),
    ("REPLACE INTO users VALUES (1)", CHANGES),
    ("CALL move(1, 2)", CHANGES),
    ("something new", CHANGES),
    ("", CHANGES),
    ("SAVEPOINT s1", StatementKind.SAVEPOINT),
    ("RELEASE SAVEPOINT s1", NEUTRAL),
    ("ROLLBACK TO SAVEPOINT s1", NEUTRAL),
    ("SET LOCAL lock_timeout = 1", NEUTRAL),
    ("/* by itself */ commit", ENDS),
    ("END", ENDS),
    ("PREPARE TRANSACTION 'x'", ENDS),
]


@pytest.mark.parametrize(("statement", "kind"), _EVERYWHERE)
@pytest.mark.parametrize("dialect_name", ["mysql", "mariadb", "postgresql", "sqlite"])
def test_first_words_tell_what_a_statement_does_to_its_transaction(
    statement: str, kind: StatementKind, dialect_name: str
) -> None:
    assert kind_of(statement, dialect_name) is kind


@pytest.mark.parametrize(
    ("statement", "on_mysql", "elsewhere"),
    [
        ("CREATE TABLE x (id int)", ENDS, CHANGES),
        ("CREATE TEMPORARY TABLE x (id int)", CHANGES, CHANGES),
        ("DROP TEMPORARY TABLE x", CHANGES, CHANGES),
        ("TRUNCATE users", ENDS, CHANGES),
        ("BEGIN", ENDS, NEUTRAL),
        ("START TRANSACTION", ENDS, NEUTRAL),
        ("SET autocommit = 1", ENDS, NEUTRAL),
        ("SET @@autocommit = 1", ENDS, NEUTRAL),
        ("SET SESSION autocommit = 1", ENDS, NEUTRAL),
        ("SET @x = 1, autocommit = 1", ENDS, NEUTRAL),
        ("SET PASSWORD = 'x'", ENDS, NEUTRAL),
        ("CHECK TABLE users", ENDS, CHANGES),
        ("SET NAMES utf8mb4", NEUTRAL, NEUTRAL),
    ],
)
def test_mysql_commits_before_more_than_others(
    statement: str, on_mysql: StatementKind, elsewhere: StatementKind
) -> None:
    assert [kind_of(statement, name) for name in ("mysql", "mariadb")] == [on_mysql] * 2
    assert [kind_of(statement, name) for name in ("postgresql", "sqlite")] == [elsewhere] * 2


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT * INTO kept FROM users", CHANGES),
        ("WITH x AS (SELECT 1) SELECT * INTO TEMP kept FROM x", CHANGES),
        ("SELECT * FROM users WHERE name = 'come into' AND \"into\" = 1", READS),
    ],
)
def test_on_postgresql_a_select_into_a_table_is_a_change(statement: str, kind: StatementKind) -> None:
    assert kind_of(statement, "postgresql") is kind
