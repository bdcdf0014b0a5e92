"""A service run from this machine's programs, once Debian's package manager has installed them."""

from __future__ import annotations

import os
from contextlib import suppress

from tools.services import state
from tools.services.command import find, run
from tools.services.errors import CannotServeError
from tools.services.programs import Programs
from tools.services.provider import Wanted
from tools.services.service import Service
from tools.services.state import Record

INSTALL_DEADLINE_SECONDS = 900.0

# The package would start a server of its own, which we do not use; runlevel 1 asks its scripts not to. If one
# starts all the same it does no harm, because our services have ports and data of their own.
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}

# apt-get gives up at once where another one is at work, such as the daily upgrade of a fresh machine. It waits half
# of the time that it has: the other half is for the packages.
_WAITING = ("-o", f"DPkg::Lock::Timeout={INSTALL_DEADLINE_SECONDS / 2:.0f}")


class Debian(Programs):
    """Debian's packages; what they bring is then run, and recorded, like any program of this machine."""

    name = "debian"

    def serve(self, wanted: Wanted) -> Record:
        """Install the service's package and start its program."""
        service = wanted.service
        if _is_installed(service):
            raise CannotServeError(f"Debian's package could not help: {service.title} is installed already")
        if os.geteuid() != 0:
            raise CannotServeError(f"only root can install Debian's package {service.package}")
        with state.locked("apt"):  # of this checkout; for others see _WAITING
            _install(service.package)
        return super().serve(wanted)


def _is_installed(service: Service) -> bool:
    """Tell whether the service's program is there, so that installing it would change nothing."""
    try:
        service.version()
    except CannotServeError:
        return False
    return True


def _install(package: str) -> None:
    """Install a package from lists that are up to date."""
    apt = find("apt-get")
    with suppress(CannotServeError):  # it fails when one source does, though the package comes from another
        _run([apt, "update"])
    _run([apt, *_WAITING, "install", "-y", "--no-install-recommends", package])


def _run(command: list[str]) -> None:
    """Run the package manager, which asks no questions."""
    run(command, environment=ENVIRONMENT, deadline_seconds=INSTALL_DEADLINE_SECONDS)
