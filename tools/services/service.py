"""A service that the tests need, and the little that is the same for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from tools.services.ports import LOOPBACK
from tools.services.process import Launch

# The servers listen on the loopback interface alone and hold nothing but tests: the password is no secret.
USER = PASSWORD = DATABASE = "asyncflow"


class Service(ABC):
    """A kind of server: how it is addressed, how it is asked whether it serves, how it is started here.

    `variable` is the environment variable that gives an address of one's own, `package` the Debian package
    that brings the program, `usual_port` the port of an address that names none, `needs` the services that it
    stands before.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    variable: ClassVar[str]
    usual_port: ClassVar[int]
    package: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    deadline_seconds: ClassVar[float] = 60.0

    @property
    def account(self) -> str | None:
        """Return the account that must own the data and run the program; None means the caller's own."""
        return None

    @abstractmethod
    def address(self, port: int) -> str:
        """Return what a client connects to."""

    @abstractmethod
    def answers(self, host: str, port: int) -> bool:
        """Tell whether a server of this kind serves there."""

    @abstractmethod
    def version(self) -> str:
        """Return the program's name and version; CannotServeError if it is not to be had."""

    @abstractmethod
    def launch(self, home: Path, port: int) -> Launch:
        """Make what is missing under `home`, and return how to start the program.

        Raises CannotServeError if something is not to be had.
        """

    def endpoint(self, address: str) -> tuple[str, int]:
        """Return the host and port of an address."""
        parts = urlsplit(address if "//" in address else f"//{address}")
        return parts.hostname or LOOPBACK, parts.port or self.usual_port
