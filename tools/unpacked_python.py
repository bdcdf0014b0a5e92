"""A Python that this machine lacks: Debian's packages of it, unpacked into a folder. Nothing is installed.

PYTHON -m tools.unpacked_python 3.14
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from tools.services import place
from tools.services.command import find, run
from tools.services.errors import CannotServeError

DEADLINE_SECONDS = 60.0
SUITE = "sid"  # which has the newest first
PLACE = place.CHECKOUT / ".pythons"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_MODULES = "import ctypes, lzma, sqlite3, ssl, sys, zlib; print(sys.version.split()[0])"

Run = Callable[[Sequence[str]], str]


def python_of(version: str) -> Path:
    """Return where the Python of a version stands, once it was unpacked."""
    return PLACE / version / "usr" / "bin" / f"python{version}"


def unpack(version: str) -> Path:
    """Return a Python of a version such as 3.14, unpacked within a minute if it is not there yet.

    Raises CannotServeError with the reason if it cannot be had.
    """
    if not re.fullmatch(r"3\.\d+", version):
        raise CannotServeError(f"{version} is no version such as 3.14")
    bounded = within(DEADLINE_SECONDS)
    place.build(PLACE / version, lambda root: _make(version, root, bounded))
    return python_of(version)


def within(seconds: float) -> Run:
    """Return what runs programs that have so much time together."""
    end = monotonic() + seconds
    return lambda command: run(command, deadline_seconds=max(0.0, end - monotonic()))


def _make(version: str, root: Path, bounded: Run) -> None:
    """Unpack it, with all that it needs, and let it find that where ``root`` is going to be."""
    _unpack(f"python{version}", root, bounded)
    loader = next(root.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*"), None)
    if loader is None:
        raise CannotServeError(f"Debian's package python{version} came without its loader")
    here = [str(loader.parent), str(root / "usr" / "lib")]
    there = [path.replace(str(root), str(PLACE / version)) for path in here]
    patch = [str(loader), "--library-path", ":".join(here), str(root / "usr" / "bin" / "patchelf")]
    python = root / python_of(version).relative_to(PLACE / version)
    # The suite's own C library goes before this machine's, for this program and all that it loads.
    bounded([*patch, "--force-rpath", "--set-rpath", ":".join(there), str(python)])
    # Asked before it is told its loader, which is not there yet.
    bounded([str(loader), "--library-path", ":".join(here), str(python), "-c", _MODULES])
    bounded([*patch, "--set-interpreter", f"{there[0]}/{loader.name}", str(python)])


def _unpack(package: str, root: Path, bounded: Run) -> None:
    apt, dpkg = [find("apt-get"), "-q", *_options()], find("dpkg-deb")
    packages = root / "packages"
    packages.mkdir(parents=True)
    bounded([*apt, "update"])
    # patchelf too, of which this machine may have none.
    told = bounded([*apt, "install", "-y", "--no-install-recommends", "--print-uris", package, "patchelf"])
    # In a shell, because apt-get fetches into the directory that it is in.
    bounded(["sh", "-c", 'cd "$0" && exec "$@"', str(packages), *apt, "download", *packages_in(told)])
    for one in sorted(packages.glob("*.deb")):
        bounded([dpkg, "--extract", str(one), str(root)])
    shutil.rmtree(packages)


def packages_in(told: str) -> list[str]:
    """Return the packages of which apt-get has told the addresses."""
    return [line.split()[1].partition("_")[0] for line in told.splitlines() if line.startswith("'")]


def _options() -> list[str]:
    """Return what lets apt-get work on another suite, beside what this machine has installed and knows."""
    apt = PLACE / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial", "preferences"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    mirror = mirror_in(run([find("apt-get"), "indextargets", "--format", "$(LABEL) $(REPO_URI)"]))
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror} {SUITE} main\n")
    options = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": apt / "preferences",
        "APT::Sandbox::User": "root",  # else it would be one who may not enter the checkout
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def mirror_in(told: str) -> str:
    """Return the mirror of Debian that this machine's apt-get uses."""
    found = re.search(r"^Debian (https?://\S+)$", told, re.MULTILINE)
    if found is None:
        raise CannotServeError("this machine's apt-get knows no mirror of Debian")
    return found[1]


def main(versions: Sequence[str]) -> int:
    """Unpack those that this machine lacks; return 1 if one cannot be had."""
    failed = 0
    for version in versions:
        try:
            print(f"Python {version}: {_origin(version)}")
        except CannotServeError as error:
            print(f"Python {version}: NOT there, and not to be had: {' '.join(str(error).split())}")
            failed = 1
    return failed


def _origin(version: str) -> str:
    if shutil.which(f"python{version}") is not None:
        return "on this machine"
    return f"{run([str(unpack(version)), '-c', _MODULES])}, of Debian's packages"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
