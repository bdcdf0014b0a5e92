"""Who can serve a service: the contract of every provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from tools.services.service import Service
from tools.services.state import Record


@dataclass(frozen=True)
class Wanted:
    """A service to bring up, and how it was up before: a dead one keeps its data and its port."""

    service: Service
    former: Record | None

    @property
    def port(self) -> int | None:
        """Return the port that it had."""
        return self.former.port if self.former else None

    @property
    def home(self) -> str | None:
        """Return the directory where it kept its data."""
        return self.former.home if self.former else None


class Provider(ABC):
    """One way of having a service; `name` is recorded, so that later verbs reach the same provider."""

    name: ClassVar[str]

    @abstractmethod
    def serve(self, wanted: Wanted) -> Record:
        """Bring a service up and return its record.

        Raises CannotServeError if this provider cannot serve here, and StartError if it tried in vain.
        """

    @abstractmethod
    def stop(self, record: Record) -> None:
        """Shut a service down in good order; its data stay."""

    @abstractmethod
    def kill(self, record: Record) -> None:
        """End a service without warning; its data stay."""

    @abstractmethod
    def remove(self, record: Record) -> None:
        """Delete the data of a service that is down."""
