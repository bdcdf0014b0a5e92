"""The forms of tables: how they stand in a database, and the statements that change them there."""
