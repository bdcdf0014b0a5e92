"""A service run from packages of a newer Debian that are unpacked into a folder, with their own libraries."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from tools.services import place
from tools.services.command import find, run
from tools.services.errors import CannotServeError
from tools.services.programs import Programs
from tools.services.provider import Wanted
from tools.services.service import Service
from tools.services.state import Record

SUITE = "sid"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = Path("/etc/apt")
DEADLINE_SECONDS = 600.0


class NewerDebian(Programs):
    """Debian's newest packages, from the mirror that this machine has; they bring a C library of their own."""

    name = "newer-debian"

    def serve(self, wanted: Wanted) -> Record:
        """Fetch and unpack the service's package with all that it needs, and start its program."""
        if not self.root_of(wanted.service).exists():
            place.build(self.root_of(wanted.service), partial(_unpack, wanted.service.package))
        return super().serve(wanted)

    @staticmethod
    def root_of(service: Service) -> Path:
        """Return the folder that holds a service's packages, once there are any."""
        return place.STATE / "newer-debian" / service.name


def program_in(root: Path, program: str) -> list[str]:
    """Return how to start a program of a folder with the loader and the libraries of that folder."""
    loader = next(root.glob("usr/lib/*/ld-linux-*.so.*"), None)
    if loader is None:
        raise CannotServeError(f"{root} holds no loader of programs")
    path = str(root / program)
    return [str(loader), "--library-path", f"{loader.parent}:{root / 'usr/lib'}", "--argv0", path, path]


def _unpack(package: str, root: Path) -> None:
    """Unpack a package, and all that it needs, as on a machine that has nothing."""
    dpkg, packages = find("dpkg-deb"), root / "packages"
    packages.mkdir(parents=True)
    apt = _apt_of(root)
    run([*apt, "update"], deadline_seconds=DEADLINE_SECONDS)
    told = run([*apt, "install", "-y", "--print-uris", package], deadline_seconds=DEADLINE_SECONDS)
    names = [line.split()[1].partition("_")[0] for line in told.splitlines() if line.startswith("'")]
    # In a shell, because apt-get fetches into the directory that it is in.
    run(
        ["sh", "-c", 'cd "$0" && exec "$@"', str(packages), *apt, "download", *names],
        deadline_seconds=DEADLINE_SECONDS,
    )
    for one in sorted(packages.glob("*.deb")):
        run([dpkg, "--extract", str(one), str(root)])
        one.unlink()


def _apt_of(root: Path) -> list[str]:
    """Return apt-get with lists of its own: of the newer suite, and of nothing installed."""
    own = root / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial", "preferences"):
        (own / folder).mkdir(parents=True)
    (own / "status").touch()
    sources = own / "sources.list"
    sources.write_text(f"deb [signed-by={KEYS}] {_mirror()} {SUITE} main\n")
    options = {
        "Dir::State": own / "state",
        "Dir::State::status": own / "status",
        "Dir::Cache": own / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": own / "preferences",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "APT::Update::Post-Invoke::": "",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return [find("apt-get"), "-q", *words]


def _mirror() -> str:
    """Return the address from which this machine has its own packages."""
    files = [SOURCES / "sources.list", *sorted((SOURCES / "sources.list.d").glob("*"))]
    lines = [line for file in files if file.is_file() for line in file.read_text().splitlines()]
    found = re.search(r"https?://[^\s\]]+", "\n".join(line for line in lines if not re.search(r"^\s*#|security", line)))
    if found is None:
        raise CannotServeError(f"{SOURCES} names no mirror of Debian's")
    return found[0]
