"""Checks of options, shared by the outbox and the inbox."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import MetaData

from asyncflow.errors import OptionError, UnknownOptionError
from asyncflow.text import shown


def refuse_unknown(where: str, unknown: Iterable[str], known: Sequence[str]) -> None:
    """Raise UnknownOptionError, with the nearest known names, if anything is unknown."""
    if unknown:
        raise UnknownOptionError.among(where, unknown, known)


def require_whole(name: str, value: Any, least: int, most: int) -> None:
    """Raise OptionError unless ``value`` is a whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise OptionError(f"{name} is {shown(value)}; give a whole number from {least} to {most}")


def require_place(metadata: Any, prefix: Any, schema: Any) -> None:
    """Raise OptionError unless tables can be added there under these names."""
    if not isinstance(metadata, MetaData):
        raise OptionError(f"metadata is {shown(metadata)}; give a MetaData, such as Base.metadata")
    if not isinstance(prefix, str):
        raise OptionError(f"prefix is {shown(prefix)}; give text, such as 'asyncflow_'")
    if schema is not None and not (isinstance(schema, str) and schema):
        raise OptionError(f"schema is {shown(schema)}; give a schema's name, or None")
