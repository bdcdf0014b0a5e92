"""A claim by its name: what a worker elsewhere says that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID


class HeldClaim(NamedTuple):
    """Name one claim: a task, and the token that its worker was given."""

    id: UUID
    token: UUID


class RenewedClaims(NamedTuple):
    """Name the claims that were not renewed: those that are lost, and those that somebody else has locked."""

    lost: Sequence[UUID]
    locked: Sequence[UUID]
