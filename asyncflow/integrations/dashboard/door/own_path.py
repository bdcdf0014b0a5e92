"""Where a person is sent after a form: to a page of the dashboard, whatever the form says."""

from __future__ import annotations

import re

# A path below the dashboard's own, and a query: no scheme, no host, no step upwards.
_OWN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.~-]*(?:/[A-Za-z0-9_%~-][A-Za-z0-9_%.~-]*)*(?:\?[A-Za-z0-9_.~%+&=-]*)?")

_LONGEST = 2000


def own_path(wanted: str) -> str:
    """Return a path below the dashboard's, without a first slash; nothing for what is none, or too long."""
    is_own = len(wanted) <= _LONGEST and _OWN.fullmatch(wanted) and ".." not in wanted.lower().replace("%2e", ".")
    return wanted if is_own else ""
