"""Signs of life outside the database: who gives none is missed before its leases end, and the database still fences."""
