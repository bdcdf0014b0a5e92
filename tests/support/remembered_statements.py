"""What functions of a package remember: statements for the most part, each of which keeps the tables that it names."""

from __future__ import annotations

import sys
from functools import _lru_cache_wrapper
from typing import Any


class RememberedStatements:
    """Find the functions of a package that remember their results, and let them forget."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._functions: list[_lru_cache_wrapper[Any]] = []
        self._modules = 0  # that were loaded when the functions were looked for

    def forget(self) -> None:
        """Drop what is remembered."""
        if len(sys.modules) != self._modules:
            self._find()
        for function in self._functions:
            function.cache_clear()

    def _find(self) -> None:
        self._modules = len(sys.modules)
        ours = [module for name, module in list(sys.modules.items()) if name.split(".")[0] == self._package]
        members = [member for module in ours for member in vars(module).values()]
        self._functions = [member for member in members if type(member) is _lru_cache_wrapper]
