"""Objects named by ``module:attribute``, so that a text can give what Python code gives."""

from __future__ import annotations

import importlib
from typing import Any, TypeGuard

from asyncflow.errors import OptionError


def is_reference(given: Any) -> TypeGuard[str]:
    """Tell whether ``given`` is text of the form ``module:attribute``."""
    return isinstance(given, str) and ":" in given


def referred(option: str, reference: str) -> Any:
    """Return the object that ``module:attribute`` names; raises OptionError if there is none."""
    module, _, path = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(
            f"{option} is {reference!r}: {error}; give module:attribute, such as shop.jobs:alarm"
        ) from error
    return found
