"""The lines to database servers: none is waited for that says nothing."""
