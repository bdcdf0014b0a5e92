"""The schema: where a database's tables are not as this version needs them, and the operations that mend each."""
