"""A service run from Debian's packages that are unpacked into a folder: nothing is installed, and no root is needed."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

from tools.services import place
from tools.services.command import find, run
from tools.services.errors import CannotServeError
from tools.services.programs import Programs
from tools.services.provider import Wanted
from tools.services.service import Service
from tools.services.state import Record

DEADLINE_SECONDS = 120.0


class Unpacked(Programs):
    """Debian's packages, with those that they need and this machine lacks.

    Whoever ends this half-way leaves the package manager as it was.
    """

    name = "unpacked"

    def serve(self, wanted: Wanted) -> Record:
        """Fetch and unpack the service's package, and start its program."""
        if not root_of(wanted.service).exists():
            place.build(root_of(wanted.service), partial(_unpack, wanted.service.package))
        return super().serve(wanted)


def root_of(service: Service) -> Path:
    """Return the folder that holds a service's unpacked packages, once there are any."""
    return place.STATE / "unpacked" / service.name


def _unpack(package: str, root: Path) -> None:
    """Unpack a package into a folder."""
    apt, dpkg = find("apt-get"), find("dpkg-deb")
    packages = root / "packages"
    packages.mkdir(parents=True)
    try:
        names = _names(apt, package)
    except CannotServeError:
        with suppress(CannotServeError):  # only root may, and lists that are old may do
            run([apt, "update"], deadline_seconds=DEADLINE_SECONDS)
        names = _names(apt, package)
    # In a shell, because apt-get fetches into the directory that it is in.
    run(
        ["sh", "-c", 'cd "$0" && exec "$@"', str(packages), apt, "-q", "download", *names],
        deadline_seconds=DEADLINE_SECONDS,
    )
    for one in sorted(packages.glob("*.deb")):
        run([dpkg, "--extract", str(one), str(root)])
        one.unlink()


def _names(apt: str, package: str) -> list[str]:
    """Return the names of the packages that would be installed with one, itself included."""
    told = run([apt, "install", "-y", "-q", "--no-install-recommends", "--print-uris", package])
    files = [line.split()[1] for line in told.splitlines() if line.startswith("'")]
    names = [file.partition("_")[0] for file in files]
    if not names:
        raise CannotServeError(f"Debian's package {package} is installed already, and its program was not found")
    return names
