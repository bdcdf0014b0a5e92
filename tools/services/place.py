"""Where the services keep their data, logs and state."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools.services.command import group_of, run
from tools.services.errors import CannotServeError, NotOursError

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = CHECKOUT / ".services"


def log_of(service: str) -> Path:
    """Return the path of a service's log."""
    return STATE / f"{service}.log"


def home(service: str, account: str | None, former: str | None) -> Path:
    """Return the directory of a service's data: the former one, or one that `account` can reach.

    A checkout below a directory that only root can enter (root's home, a private temporary directory) is out
    of reach of the account that PostgreSQL runs as; its data then live in the system's temporary directory.
    """
    if former and Path(former).is_dir():
        return Path(former)
    inside = STATE / service
    inside.mkdir(parents=True, exist_ok=True)
    if account is None or _give(inside, account):
        return inside
    outside = Path(tempfile.mkdtemp(prefix=f"asyncflow-{service}-"))
    _give(outside, account)
    return outside


def clear(service: str) -> None:
    """Delete what a service left in the checkout, but for its log; raises NotOursError for another checkout's data."""
    if STATE.is_symlink():
        raise NotOursError(
            f"{STATE} leads to {STATE.resolve()}, whose services may be at work on their data, which would be deleted; "
            f"remove the link, or steer them from there"
        )
    shutil.rmtree(STATE / service, ignore_errors=True)


def build(target: Path, make: Callable[[Path], None]) -> None:
    """Make `target` by `make(directory)`, unless it exists: whole or not at all, even when interrupted."""
    if target.exists():
        return
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    make(unfinished)
    unfinished.rename(target)


def _give(directory: Path, account: str) -> bool:
    """Make `account` the owner of a directory; tell whether it can write there."""
    shutil.chown(directory, account, group_of(account))
    try:
        run(["test", "-w", str(directory)], account=account)
    except CannotServeError:
        return False
    return True
