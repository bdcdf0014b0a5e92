"""What each of several databases has for the same things, as one answer that tells where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Apart(NamedTuple):
    """Hold what each database has, by its name (None: there is one alone) and by task type; and who is left out."""

    of: Mapping[str | None, Mapping[str, Mapping[str, Any]]]
    away: Sequence[str] = ()

    def task_types(self) -> list[str]:
        """Return the types that any of them has, in order."""
        return sorted({name for its in self.of.values() for name in its})

    def together(self, task_type: str) -> dict[str, Any]:
        """Return what all that have the type say of it; of what differs null, and under ``differing`` what each says.

        Of a single database that is what it says.
        """
        said = {name: its[task_type] for name, its in self.of.items() if task_type in its}
        fields = next(iter(said.values()))
        if None in said:
            return dict(fields)
        values = {field: {str(name): its[field] for name, its in said.items()} for field in fields}
        differing = {field: each for field, each in values.items() if len(set(each.values())) > 1}
        shown = {field: None if field in differing else value for field, value in fields.items()}
        return {**shown, "databases": sorted(map(str, said)), **({"differing": differing} if differing else {})}
