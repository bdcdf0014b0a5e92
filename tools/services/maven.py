"""Jars from Maven, and the Java that runs them."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from pathlib import Path

from tools.services import place
from tools.services.command import find, run
from tools.services.errors import CannotServeError

OLDEST_JAVA = 17
DEADLINE_SECONDS = 600.0


def java() -> str:
    """Return the path of a Java that is new enough; CannotServeError if there is none."""
    found = find("java")
    version = re.search(r'version "(\d+)', run([found, "-version"]))
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise CannotServeError(f"{found} is not Java {OLDEST_JAVA} or later")
    return found


def jars(pom: Path, home: Path) -> Path:
    """Return the directory below `home` of the jars that a pom asks for; copied once for each edition of it."""
    directory = home / f"jars-{hashlib.sha256(pom.read_bytes()).hexdigest()[:8]}"
    place.build(directory, partial(_copy, pom))
    return directory


def version_in(pom: Path, artifact: str) -> str:
    """Return the version of an artifact that a pom asks for."""
    number = re.search(rf"{re.escape(artifact)}</artifactId>\s*<version>([^<]+)", pom.read_text())
    return number[1] if number else "of an unknown version"


def _copy(pom: Path, target: Path) -> None:
    """Have Maven copy the jars."""
    java()  # without it Maven's own complaint would be the harder one to read
    options = ["-q", "-B", "-f", str(pom), f"-DoutputDirectory={target}"]
    run([find("mvn"), *options, "dependency:copy-dependencies"], deadline_seconds=DEADLINE_SECONDS)
