"""Roll-over: tables that finished tasks go on to, one after the other, and how they are read."""
