"""Who looks or acts, and what as."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from asyncflow.errors import OptionError, nearest
from asyncflow.outbox.tables import ACTOR_LENGTH
from asyncflow.text import require_text, shown


class Role(str, Enum):
    """Tell what a person may do; each may what those before it may."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # replay, cancel, pause, resume, drain
    ADMIN = "admin"  # mend payloads, discard, change options

    def may(self, needed: Role) -> bool:
        """Tell whether it includes another role."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Person:
    """Name who asks, as the audit will name him; raises OptionError."""

    name: str
    role: Role = Role.VIEWER

    def __post_init__(self) -> None:
        require_text("name", self.name, ACTOR_LENGTH, OptionError)
        object.__setattr__(self, "role", role_of(self.role))


def role_of(given: object) -> Role:
    """Return a role by its name; raises OptionError with the nearest one."""
    try:
        return Role(given)
    except ValueError:
        known = [role.value for role in Role]
        near = nearest(given, known) if isinstance(given, str) else ""
        raise OptionError(f"the role is {shown(given)}{near}; give {', '.join(known)}") from None
