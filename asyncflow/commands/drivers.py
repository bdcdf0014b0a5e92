"""Drivers of databases: which extra brings one that is missing."""

from __future__ import annotations

_EXTRAS = {"pymysql": "mysql", "psycopg": "postgresql"}
_INSTEAD = {
    "MySQLdb": ("mysql", "mysql+pymysql://"),
    "mysql": ("mysql", "mysql+pymysql://"),
    "psycopg2": ("postgresql", "postgresql+psycopg://"),
}  # what a URL means that names no driver, and ours


def told_driver(error: BaseException) -> str | None:
    """Return what installs the driver that an error misses; None if it misses none that we know."""
    missing = (getattr(error, "name", None) or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing in _EXTRAS:
        return f"the driver {missing} is not installed: pip install 'asyncflow-outbox[{_EXTRAS[missing]}]'"
    if missing in _INSTEAD:
        extra, url = _INSTEAD[missing]
        return (
            f"the driver {missing} is not installed: pip install 'asyncflow-outbox[{extra}]' and begin the URL "
            f"with {url}, or install {missing}"
        )
    return None
