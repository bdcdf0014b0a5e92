"""Let the options that a docstring tells of be a list on the pages of the site; loaded by mkdocstrings, with griffe."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tools.option_lists import with_lists

griffe: Any = import_module("griffe")  # mkdocstrings brings it; nobody else needs it


class OptionLists(griffe.Extension):  # type: ignore[misc]
    """Change docstrings as they are collected; the source keeps them as a person reads them there."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Put the options of one docstring into a list."""
        if not obj.is_alias and obj.docstring is not None:
            obj.docstring.value = with_lists(obj.docstring.value)
