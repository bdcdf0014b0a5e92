-- What Debezium may read of the task table, once by its owner: rows of captured types as they are written, and nothing that happens to rows later.
-- A captured row is written as SUCCESS (2); all others begin as PENDING. Row filters are of PostgreSQL 15 and later.
CREATE PUBLICATION asyncflow FOR TABLE asyncflow_task WHERE (status = 2) WITH (publish = 'insert');
