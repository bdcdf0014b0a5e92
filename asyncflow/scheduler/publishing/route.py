"""The way to one destination."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.publishing.publisher import Publisher


@dataclass(frozen=True)
class Route:
    """Hold a destination's name, who publishes there, and what is kept shut of it; lives as long as its relay."""

    destination: str
    publisher: Publisher
    breakers: Breakers
